"""Reading, exporting, verifying and pruning the audit log."""

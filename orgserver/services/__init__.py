"""The verbs: everything orgserver does with orgs, records and the audit log."""

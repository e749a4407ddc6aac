"""What the store has of single calls: idempotency keys and one-time codes, and their tables and that of approvals."""

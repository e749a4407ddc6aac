"""What every call passes through: access, confirmation, idempotency, snapshots and audit records."""

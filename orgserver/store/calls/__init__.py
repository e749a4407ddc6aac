"""What the store has of single calls: idempotency keys, requests that a person must allow, one-time codes."""

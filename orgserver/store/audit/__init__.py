"""The audit log in the store: its chain, its index, its checkpoints, and what is kept beside it."""

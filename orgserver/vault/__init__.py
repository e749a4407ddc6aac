"""Secrets at rest: sealing, the keys for it and where they come from, and signed notes."""

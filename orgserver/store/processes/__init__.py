"""The processes that share a store: which live, and which of them holds a lock."""

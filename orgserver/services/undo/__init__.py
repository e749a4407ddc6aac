"""Putting back what a call changed, and forgetting what was kept for that."""

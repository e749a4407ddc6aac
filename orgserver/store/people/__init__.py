"""Principals, groups, grants and API keys: their tables, how they are read with the orgs, and their changes."""

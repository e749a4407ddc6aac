"""Registered orgs in the store: rows, sealed credentials and tokens, policies, refreshes."""

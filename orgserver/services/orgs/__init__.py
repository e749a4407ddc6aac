"""Registering orgs, logging in to them, and looking after them."""

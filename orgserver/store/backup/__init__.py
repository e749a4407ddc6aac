"""Copies of the store."""

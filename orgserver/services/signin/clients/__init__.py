"""Clients that people sign in from: found, fetched, registered."""

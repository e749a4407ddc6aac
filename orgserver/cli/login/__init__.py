"""Credentials and logins, as commands get them."""

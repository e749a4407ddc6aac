"""Logins of people's own as an operator sees, gives and ends them by commands."""

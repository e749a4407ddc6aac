"""A pretend org's OAuth endpoints."""

"""The token endpoint, and whether a token of ours opens anything."""

"""Commands that serve, and what a person allows at a terminal."""

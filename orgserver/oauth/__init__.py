"""Access tokens of an identity provider: its keys are fetched, and what it signed is checked."""

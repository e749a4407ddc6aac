"""Results made to fit what an agent can read."""

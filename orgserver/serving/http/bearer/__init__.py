"""What clients are told of the tokens that they need: where they get them, with which scopes."""

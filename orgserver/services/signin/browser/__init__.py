"""The way of a person's browser through a sign-in: begun, back from the provider, asked; and signed in at /me."""

"""The company's identity provider, at which people sign in: OpenID Connect, as a client of it."""

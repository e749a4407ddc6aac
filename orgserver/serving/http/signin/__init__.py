"""Endpoints of own sign-in: metadata, registration, authorization, consent, tokens."""

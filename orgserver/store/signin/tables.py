"""The tables about people who sign in: their clients, requests under way, sessions and tokens.

Times are microseconds since 1970 UTC. Of what a client or a browser holds there is its digest alone; ``sealed`` and
``provider_token`` open only through the vault.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, LargeBinary, Table, Text

from orgserver.store.people import connection_tables

metadata = connection_tables.metadata
"""Of all tables: these, and those that they stand beside."""

# Clients that registered themselves, and descriptions that were read where a client's id says.
clients = Table(
    "signin_clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # registered, document
    Column("name", Text, nullable=False),
    Column("redirect_uris", Text, nullable=False),  # JSON list
    Column("metadata", Text, nullable=False),  # JSON object, as the client says
    Column("created_at", BigInteger, nullable=False),
    Column("fresh_until", BigInteger),  # of a document
    Column("used_at", BigInteger),  # when a person last consented
    Index("ix_signin_clients_used_at", "used_at"),
)

# Sign-ins that have begun and are not over: at the provider, or at the question of consent.
requests = Table(
    "signin_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # client, me
    Column("purpose", Text),  # of one for /me: open, approve
    Column("state_digest", LargeBinary, nullable=False, unique=True),
    Column("browser_digest", LargeBinary, nullable=False),
    Column("stage", Text, nullable=False),  # provider, exchange, consent
    Column("client_id", Text),
    Column("redirect_uri", Text),
    Column("has_redirect_uri", Boolean, nullable=False),  # whether the client named it
    Column("scopes", Text, nullable=False),  # JSON list
    Column("resource", Text),
    Column("code_challenge", Text),
    Column("principal", Text),
    Column("auth_time", BigInteger),
    Column("sealed", LargeBinary, nullable=False),  # nonce, verifier, the client's state, the provider's token, person
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_signin_requests_browser_digest", "browser_digest"),
    Index("ix_signin_requests_expires_at", "expires_at"),
)

# What a consent gave one client, or a sign-in one browser at /me.
sessions = Table(
    "signin_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # client, browser
    Column("principal", Text, ForeignKey("principals.name", ondelete="CASCADE"), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("person", Text, nullable=False),  # as the provider calls them
    Column("client_id", Text),
    Column("client_name", Text),
    Column("redirect_uri", Text),
    Column("resource", Text),
    Column("scopes", Text, nullable=False),  # JSON list
    Column("cookie_digest", LargeBinary, unique=True),
    Column("auth_time", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("redeemed_at", BigInteger),
    Column("used_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    Column("provider_token", LargeBinary),  # sealed
    Column("fencing", BigInteger, nullable=False),  # grows with each provider token
    Column("ended_at", BigInteger),
    Column("ended_why", Text),
    Index("ix_signin_sessions_principal", "principal"),
    Index("ix_signin_sessions_expires_at", "expires_at"),
)

# Codes, access tokens and refresh tokens of sessions.
tokens = Table(
    "signin_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256
    Column("session_id", Text, ForeignKey("signin_sessions.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),  # code, access, refresh
    Column("scopes", Text, nullable=False),  # JSON list
    Column("code_challenge", Text),
    Column("redirect_uri", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("used_by", Text),  # the attempt that spent it
    Index("ix_signin_tokens_session_id", "session_id"),
    Index("ix_signin_tokens_expires_at", "expires_at"),
)

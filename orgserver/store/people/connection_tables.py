"""The tables about people's own logins to orgs: connections, the links that make them, and what is to be revoked.

Times are microseconds since 1970 UTC. Of what a browser holds there is its digest alone. Tokens and ``sealed`` columns
open only through the vault.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, false

from orgserver.store.people import tables

metadata = tables.metadata
"""Of all tables: these, and those that they stand beside."""

# Whose login to which org; it stays when the login ends, so that nobody falls back to the shared one unasked.
connections = Table(
    "connections",
    metadata,
    Column("id", Text, primary_key=True),  # owner of its data key, and key of its lease
    Column("row_id", Text, ForeignKey("orgs.row_id", ondelete="CASCADE"), nullable=False),
    Column("principal", Text, nullable=False),  # also one that has no row, such as a local one
    Column("kind", Text, nullable=False),  # web, jwt
    Column("user_id", Text),  # pinned; none until the first token of an assertion
    Column("username", Text, nullable=False),
    Column("user_time_zone", Text),
    Column("state", Text, nullable=False),
    Column("cause", Text),
    Column("problem", Text),  # JSON object
    Column("held", Boolean, nullable=False, server_default=false()),  # no refresh until somebody tries the token
    Column("created_at", BigInteger, nullable=False),
    Column("refreshed_at", BigInteger),
    Column("confirmed_at", BigInteger),  # of an assertion's username: an administrator has seen whose it is
    Column("confirmed_by", Text),
    Index("ix_connections_principal", "principal"),
    Index("ux_connections_holder", "row_id", "principal", unique=True),
    Index("ux_connections_user", "row_id", "user_id", unique=True),
)

connection_credentials = Table(
    "connection_credentials",
    metadata,
    Column("id", Text, ForeignKey("connections.id", ondelete="CASCADE"), primary_key=True),
    Column("client_id", Text, nullable=False),  # of the org's app that gave it
    Column("refresh_token", LargeBinary),  # sealed; fencing number, org and principal in its context
    Column("audience", Text),  # of an assertion: the one that worked last
    Column("fencing", BigInteger, nullable=False),
    Column("given", Text, nullable=False),
    Column("token_digest", Text),
    Column("digest_fencing", BigInteger),
    Index("ix_connection_credentials_given", "given"),
    Index("ix_connection_credentials_token_digest", "token_digest"),
)

connection_access_tokens = Table(
    "connection_access_tokens",
    metadata,
    Column("id", Text, ForeignKey("connections.id", ondelete="CASCADE"), primary_key=True),
    Column("token", LargeBinary, nullable=False),  # sealed
    Column("instance_url", Text, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("obtained_at", BigInteger, nullable=False),
)

# Whom a principal is in an org, as an administrator's file says.
username_map = Table(
    "username_map",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("principal", Text, primary_key=True),
    Column("username", Text, nullable=False),  # in lower case
    Index("ux_username_map_username", "org_id", "username", unique=True),
)

# Logins that people were asked for, and have not stored yet.
connect_links = Table(
    "connect_links",
    metadata,
    Column("id", Text, primary_key=True),
    Column("nonce_digest", LargeBinary, nullable=False, unique=True),
    Column("row_id", Text, nullable=False),
    Column("alias", Text, nullable=False),  # as it was when they were asked
    Column("org_id", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("replace", Boolean, nullable=False),  # another Salesforce user may follow the pinned one
    Column("stage", Text, nullable=False),  # asked, salesforce, redeeming, answered
    Column("attempts", Integer, nullable=False),  # keys that were not the right one
    Column("proof", Text),  # session:ID, key:ID
    Column("browser_digest", LargeBinary),
    Column("state_digest", LargeBinary, unique=True),
    Column("sealed", LargeBinary),  # the verifier; later what Salesforce answered
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_connect_links_expires_at", "expires_at"),
    Index("ix_connect_links_holder", "row_id", "principal"),
)

# Refresh tokens that are over here, and that Salesforce has not been told of yet. They outlive org, person and key.
revocations = Table(
    "revocations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("alias", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("login_url", Text, nullable=False),
    Column("instance_url", Text, nullable=False),
    Column("trusted_hosts", Text, nullable=False),  # JSON list
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Index("ix_revocations_next_at", "next_at"),
)

"""The tables about who calls: principals and groups, what they were granted, their API keys, and what they used up.

Times are microseconds since 1970 UTC. Of an API key there is its digest alone.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from orgserver.store.calls import tables as call_tables

metadata = call_tables.metadata
"""Of all tables: these, and those that they stand beside."""

principals = Table(
    "principals",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # person, service
    Column("enabled", Boolean, nullable=False),
    Column("roles", Text, nullable=False),  # JSON list
    Column("limits", Text, nullable=False),  # JSON object, of the form of a policy
    Column("created_at", BigInteger, nullable=False),
)

groups = Table(
    "groups",
    metadata,
    Column("name", Text, primary_key=True),
    Column("claim", Text),  # what an identity provider calls it; then it has no members by hand
    Column("created_at", BigInteger, nullable=False),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group", Text, ForeignKey("groups.name", ondelete="CASCADE"), primary_key=True),
    Column("principal", Text, ForeignKey("principals.name", ondelete="CASCADE"), primary_key=True),
    Index("ix_group_members_principal", "principal"),
)

# Who is in a group because the identity provider says so; members by hand stand apart.
claim_members = Table(
    "claim_members",
    metadata,
    Column("group", Text, ForeignKey("groups.name", ondelete="CASCADE"), primary_key=True),
    Column("principal", Text, ForeignKey("principals.name", ondelete="CASCADE"), primary_key=True),
    Index("ix_claim_members_principal", "principal"),
)

grants = Table(
    "grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("principal", Text, ForeignKey("principals.name", ondelete="CASCADE")),
    Column("group", Text, ForeignKey("groups.name", ondelete="CASCADE")),
    Column("selector", Text, nullable=False),  # of an alias: as it was when it was granted
    Column("row_id", Text, ForeignKey("orgs.row_id", ondelete="CASCADE")),  # of an alias: the org that it meant
    Column("permissions", Text, nullable=False),  # JSON list
    Column("until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    CheckConstraint('(principal IS NULL) <> ("group" IS NULL)', name="one_holder"),
    Index("ix_grants_principal", "principal"),
    Index("ix_grants_group", "group"),
    Index("ix_grants_row_id", "row_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("principal", Text, ForeignKey("principals.name", ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the key
    Column("created_at", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
    Index("ix_api_keys_principal", "principal"),
)

# Who a principal is for identity providers.
subjects = Table(
    "subjects",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("principal", Text, ForeignKey("principals.name", ondelete="CASCADE"), nullable=False),
    Index("ix_subjects_principal", "principal"),
)

# Calls of an org's API that agents used up in a day. It stays when an org or a principal goes and comes again.
api_usage = Table(
    "api_usage",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("principal", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),  # since 1970, UTC
    Column("calls", BigInteger, nullable=False),
)

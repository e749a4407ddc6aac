"""The tables about single calls: idempotency keys, requests that a person must allow, and one-time codes.

Times are microseconds since 1970 UTC; ``sealed`` columns open only through the vault.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from orgserver.store import tables

metadata = tables.metadata
"""Of all tables: these, and those that they stand beside."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("row_id", Text, primary_key=True),
    Column("key_digest", LargeBinary, primary_key=True),
    Column("arguments_digest", LargeBinary, nullable=False),
    Column("entry_id", Text, nullable=False, unique=True),
    Column("outcome", Text, nullable=False),  # pending until the first attempt has ended
    Column("answer", LargeBinary),  # sealed: what the first attempt answered
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_idempotency_expires_at", "expires_at"),
)

# What an agent asked for and a person must allow; and the answers that were used, so that none is used twice.
approvals = Table(
    "approvals",
    metadata,
    Column("code", Text, primary_key=True),
    Column("row_id", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of principal, org, tool and arguments
    Column("action", Text, nullable=False),
    Column("object", Text),
    Column("records", BigInteger, nullable=False),  # how many
    Column("sealed", LargeBinary),  # names of records, as they are shown
    Column("created_at", BigInteger, nullable=False),
    Column("approved_at", BigInteger),
    Column("approved_by", Text),
    Column("used_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    Column("entry_id", Text),  # of the call that was refused
    Column("client", Text),  # what that call's client calls itself
    Column("session_id", Text),  # of the person's sign-in that asked; none on standard input and with an API key
    Index("ix_approvals_digest", "digest"),
    Index("ix_approvals_expires_at", "expires_at"),
)

# The secret of the one-time codes that people confirm with, and which code was used last: at most one row.
one_time_codes = Table(
    "one_time_codes",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("sealed", LargeBinary, nullable=False),  # under the master key itself
)

"""Where each sealed value of an org belongs, and the rows from which they are opened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.vault.ring import Context, Key


def credential_of(row_id: str) -> Select[Any]:
    """The row from which an org's credential is opened."""
    return (
        select(tables.credentials, tables.data_keys.c.wrapped)
        .join(tables.data_keys, tables.data_keys.c.owner == tables.credentials.c.row_id)
        .where(tables.credentials.c.row_id == row_id)
    )


def access_token_of(row_id: str) -> Select[Any]:
    """The row from which an org's cached access token is opened."""
    return (
        select(tables.access_tokens, tables.data_keys.c.wrapped)
        .join(tables.data_keys, tables.data_keys.c.owner == tables.access_tokens.c.row_id)
        .where(tables.access_tokens.c.row_id == row_id)
    )


def opened(key: Key, sealed: bytes | None, context: Context) -> Secret | None:
    """Open a value that may not be there."""
    return key.open_text(sealed, context) if sealed is not None else None


def closed(key: Key, secret: Secret | None, context: Context) -> bytes | None:
    """Seal a value that may not be there."""
    return key.seal_text(secret, context) if secret is not None else None


def private_key(row_id: str) -> Context:
    """Where a private key belongs."""
    return Context(row_id, "credentials", "private_key")


def refresh_token(row_id: str, fencing: int) -> Context:
    """Where a refresh token belongs: to one fencing number, so that an older one put back does not open."""
    return Context(row_id, "credentials", "refresh_token", str(fencing))


def client_secret(row_id: str) -> Context:
    """Where a client secret belongs."""
    return Context(row_id, "credentials", "client_secret")


def access_token(row_id: str, fencing: int) -> Context:
    """Where a cached access token belongs."""
    return Context(row_id, "access_tokens", "token", str(fencing))


def draft(row_id: str) -> Context:
    """Where the draft of an enrolment belongs."""
    return Context(row_id, "enrolments", "draft")

"""Digests by which refresh tokens are known without being opened, each in the row of its credential.

A digest is of the token of one fencing number. Where it is of another, or there is none, an earlier orgserver has
written the credential since, and the token has to be opened once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, Text, bindparam, cast, null, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.digests import digest_text
from orgserver.model.names import Alias, RowId
from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.store.orgs.login_tables import OWN
from orgserver.store.transaction import Transaction

_of = tables.credentials.c
_own, _connections = OWN.credentials.c, OWN.state.c
_KNOWN = select(tables.orgs.c.alias, _of.token_digest, _of.given, cast(null(), Text).label("principal")).join(
    tables.credentials, _of.row_id == tables.orgs.c.row_id
)
_KNOWN_OWN = (
    select(tables.orgs.c.alias, _own.token_digest, _own.given, _connections.principal)
    .join(OWN.state, _connections.row_id == tables.orgs.c.row_id)
    .join(OWN.credentials, _own.id == _connections.id)
)
_KEEP = (
    update(tables.credentials)
    .where(_of.row_id == bindparam("of"), _of.fencing == bindparam("at"))
    .values(token_digest=bindparam("digest"), digest_fencing=bindparam("at"))
)


class KnownToken(NamedTuple):
    """The refresh token of a login, as far as it is known without being opened."""

    alias: Alias
    digest: str | None
    given: str
    """The digest of the token that the org was registered with; empty where nobody had one before."""
    principal: str | None
    """Whose own login it is; None: the one that all share."""


class TokenDigest(NamedTuple):
    """The digest of a refresh token, and which one of its org's it is."""

    row_id: RowId
    fencing: int
    digest: str


def digest_token(token: Secret) -> str:
    """What a refresh token is recognized by."""
    return digest_text(token.reveal()).hex()


def digest_columns(token: Secret | None, fencing: int) -> dict[str, Any]:
    """What stands beside a sealed refresh token."""
    return {"token_digest": digest_token(token) if token else None, "digest_fencing": fencing}


def find_tokens_in(tx: Transaction, digest: str, given: str) -> list[KnownToken]:
    """The logins that use a refresh token, or were registered with the one that was given."""
    known: list[KnownToken] = []
    for query, of in ((_KNOWN, _of), (_KNOWN_OWN, _own)):  # each finds its own by an index
        same = [of.token_digest == digest, *([of.given == given] if given else [])]
        known += [KnownToken._make(row) for row in tx.connection.execute(query.where(or_(*same)))]
    return known


async def read_tokens(connection: AsyncConnection) -> list[KnownToken]:
    """Every login that has a refresh token."""
    shared, own = _KNOWN.where(_of.refresh_token.is_not(None)), _KNOWN_OWN.where(_own.refresh_token.is_not(None))
    return [KnownToken._make(row) for row in await connection.execute(union_all(shared, own))]


async def read_unknown(connection: AsyncConnection, limit: int) -> Sequence[Row[Any]]:
    """Some of the credentials whose refresh token has to be opened to be known, with their data keys."""
    query = (
        select(_of.row_id, _of.fencing, _of.refresh_token, tables.data_keys.c.wrapped)
        .join(tables.data_keys, tables.data_keys.c.owner == _of.row_id)
        .where(_of.refresh_token.is_not(None))
        .where(or_(_of.digest_fencing.is_(None), _of.digest_fencing != _of.fencing))
    )
    return [*(await connection.execute(query.limit(limit)))]


def keep_in(tx: Transaction, digests: Sequence[TokenDigest]) -> None:
    """Write digests down, each unless its token is another by now."""
    values = [{"of": each.row_id, "at": each.fencing, "digest": each.digest} for each in digests]
    tx.connection.execute(_KEEP, values)

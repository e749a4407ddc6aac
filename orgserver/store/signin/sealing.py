"""The data key of sign-ins, under which the provider's tokens and what is secret of a sign-in under way lie.

So does what is secret of a login to an org that somebody is giving, or that is over and still to be revoked.

It is kept beside those of orgs, so it is moved and made anew as they are. It is read again with each use: one that was
made anew counts at once, in every process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from sqlalchemy import Table, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.errors import StoreError
from orgserver.store import tables as store_tables
from orgserver.store.people import connection_tables
from orgserver.store.signin import tables
from orgserver.store.transaction import PreparedStatement, Transaction
from orgserver.vault.keys import Context, DataKey, Key, Unsealable
from orgserver.vault.ring import Vault

_PURPOSE = "org"
"""As of every data key: a rotation asks none what it is for."""
_BOUND = (
    *("kind", "purpose", "state_digest", "browser_digest", "client_id", "redirect_uri", "has_redirect_uri", "scopes"),
    *("resource", "code_challenge", "principal", "auth_time", "expires_at"),
)
"""Columns of a sign-in under way that say where a code goes, for whom and what for: they are part of its seal."""
_keys, _requests, _sessions = store_tables.data_keys, tables.requests, tables.sessions
_links, _revocations = connection_tables.connect_links, connection_tables.revocations
_SEALED = ((_requests, "sealed"), (_sessions, "provider_token"), (_links, "sealed"), (_revocations, "sealed"))
"""The tables in which it lies, and the columns."""
_KEEP = {
    table.name: PreparedStatement(
        update(table).where(table.c.id == bindparam("of")).values({column: bindparam("to_sealed")})
    )
    for table, column in _SEALED
}


class SealingKey:
    """Finds the key, and makes it where there is none yet.

    RingBehind where the ring must be read again first; StoreError where no key of it opens this one: that says nothing
    of what lies under it, as Unsealable does.
    """

    def __init__(self, vault: Vault, store_id: str) -> None:
        self._vault = vault
        self.store_id = store_id
        """The owner of the key."""
        self._query = select(_keys.c.wrapped).where(_keys.c.owner == store_id)
        self._known: tuple[bytes, DataKey] | None = None

    def load_in(self, tx: Transaction) -> Key:
        """The key as it is now."""
        wrapped = tx.connection.execute(self._query).scalar()
        return self._unwrap(wrapped) if wrapped is not None else self._make_in(tx)

    async def load(self, connection: AsyncConnection) -> Key | None:
        """The same outside a transaction; None where nothing was ever sealed."""
        wrapped = (await connection.execute(self._query)).scalar()
        return self._unwrap(wrapped) if wrapped is not None else None

    def _make_in(self, tx: Transaction) -> Key:
        key, wrapped = self._vault.new_data_key(self.store_id, _PURPOSE)
        tx.connection.execute(insert(_keys).values(owner=self.store_id, wrapped=wrapped))
        return key

    def _unwrap(self, wrapped: bytes) -> Key:
        known = self._known
        if known is None or known[0] != wrapped:
            try:
                known = self._known = wrapped, self._vault.data_key(wrapped, self.store_id, _PURPOSE)
            except Unsealable as error:
                raise StoreError(f"the key of sign-ins does not open: {error}", hint=error.hint) from None
        return known[1]


def make_request_context(store_id: str, row: Any) -> Context:
    """Where the secrets of a sign-in under way belong: to a row of this stage that says just this."""
    values = [_show(row[name]) for name in _BOUND]
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()
    return Context(store_id, _requests.name, "sealed", f"{row['id']}:{row['stage']}:{digest}")


def make_session_context(store_id: str, session_id: str, fencing: int) -> Context:
    """Where a token of the provider belongs: to its session, as the newest."""
    return Context(store_id, _sessions.name, "provider_token", f"{session_id}:{fencing}")


def make_link_context(store_id: str, link_id: str, stage: str, row_id: str, principal: str) -> Context:
    """Where what is secret of a login that is being given belongs: to its step, its org and its principal."""
    return Context(store_id, _links.name, "sealed", f"{link_id}:{stage}:{row_id}:{principal}")


def make_revocation_context(store_id: str, revocation_id: str) -> Context:
    """Where a token belongs that is to be revoked."""
    return Context(store_id, _revocations.name, "sealed", revocation_id)


def reseal_in(tx: Transaction, store_id: str, old: Key, new: Key) -> None:
    """Seal all of it under a new key; what does not open stays as it is, for it never will."""
    sealed_rows = (
        (_requests, _open_requests(tx, store_id)),
        (_sessions, _open_sessions(tx, store_id)),
        (_links, _open_links(tx, store_id)),
        (_revocations, _open_revocations(tx, store_id)),
    )
    for table, rows in sealed_rows:
        moved = []
        for row_id, sealed, where in rows:
            with suppress(Unsealable):
                moved.append({"of": row_id, "to_sealed": new.seal(old.open(sealed, where), where)})
        if moved:
            _KEEP[table.name].run(tx.connection, *moved)


async def count_strays(connection: AsyncConnection, key_id: bytes | None) -> int:
    """How many values are sealed under another key than this: nothing opens them."""
    return sum([await _count(connection, table, column, key_id) for table, column in _SEALED])


async def _count(connection: AsyncConnection, table: Table, column: str, key_id: bytes | None) -> int:
    sealed = table.c[column]
    foreign = [sealed.is_not(None)] + ([func.substr(sealed, 2, 8) != key_id] if key_id is not None else [])
    return (await connection.execute(select(func.count()).select_from(table).where(*foreign))).scalar_one()


def _open_requests(tx: Transaction, store_id: str) -> Iterator[tuple[str, bytes, Context]]:
    for row in tx.connection.execute(select(_requests)).mappings().all():
        yield row["id"], row["sealed"], make_request_context(store_id, row)


def _open_sessions(tx: Transaction, store_id: str) -> Iterator[tuple[str, bytes, Context]]:
    query = select(_sessions.c.id, _sessions.c.fencing, _sessions.c.provider_token)
    for row in tx.connection.execute(query.where(_sessions.c.provider_token.is_not(None))).all():
        yield row.id, row.provider_token, make_session_context(store_id, row.id, row.fencing)


def _open_links(tx: Transaction, store_id: str) -> Iterator[tuple[str, bytes, Context]]:
    of = _links.c
    query = select(of.id, of.stage, of.row_id, of.principal, of.sealed).where(of.sealed.is_not(None))
    for row in tx.connection.execute(query).all():
        yield row.id, row.sealed, make_link_context(store_id, row.id, row.stage, row.row_id, row.principal)


def _open_revocations(tx: Transaction, store_id: str) -> Iterator[tuple[str, bytes, Context]]:
    for row in tx.connection.execute(select(_revocations.c.id, _revocations.c.sealed)).all():
        yield row.id, row.sealed, make_revocation_context(store_id, row.id)


def _show(value: Any) -> Any:
    """A column's value as a text can hold it; true is 1, as a row says it, and no digest is anybody's text."""
    return [value.hex()] if isinstance(value, bytes) else int(value) if isinstance(value, bool) else value

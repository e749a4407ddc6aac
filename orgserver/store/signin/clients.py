"""MCP clients that people sign in from: those that registered here, and descriptions that were read elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, exists, func, insert, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.people import OAuthClient
from orgserver.store.signin import tables
from orgserver.store.transaction import Transaction

MAX_REGISTERED = 10_000
MAX_UNCONSENTED = 1_000
"""Registered clients that nobody has consented to yet: anybody may register, and must not fill the store."""
MAX_DOCUMENTS = 2_000
_clients, _requests, _sessions = tables.clients, tables.requests, tables.sessions


@dataclass(frozen=True, slots=True)
class StoredClient:
    """A client as it is kept."""

    client: OAuthClient
    metadata: Mapping[str, Any]
    """As the client says it."""
    fresh_until: int | None
    """Of a document, in microseconds: from then on it is read again."""


async def find(connection: AsyncConnection, client_id: str) -> StoredClient | None:
    """One client; None if there is none of this id."""
    row = (await connection.execute(select(_clients).where(_clients.c.client_id == client_id))).first()
    return _read(row) if row is not None else None


def find_in(tx: Transaction, client_id: str) -> StoredClient | None:
    """The same in a transaction."""
    row = tx.connection.execute(select(_clients).where(_clients.c.client_id == client_id)).first()
    return _read(row) if row is not None else None


def save_document_in(tx: Transaction, client: OAuthClient, metadata: Mapping[str, Any], fresh_until: int) -> None:
    """Keep a description that was read, over the one before; the stalest one goes where there are too many."""
    values = _columns(client, metadata) | {"fresh_until": fresh_until}
    own = update(_clients).where(_clients.c.client_id == client.client_id).values(values)
    if tx.connection.execute(own).rowcount == 0:
        _make_room_in(tx)
        tx.connection.execute(insert(_clients).values(**values, created_at=tx.now))


def register_in(tx: Transaction, client: OAuthClient, metadata: Mapping[str, Any]) -> bool:
    """Keep a client that registers itself; False where there are too many, and none can make room.

    The oldest makes room that nobody has consented to: or whoever registers many would keep everybody else out.
    """
    registered = select(func.count()).select_from(_clients).where(_clients.c.kind == "registered")
    unconsented = tx.connection.execute(registered.where(_clients.c.used_at.is_(None))).scalar_one()
    is_full = unconsented >= MAX_UNCONSENTED or tx.connection.execute(registered).scalar_one() >= MAX_REGISTERED
    if is_full and not _forget_unconsented_in(tx):
        return False
    tx.connection.execute(insert(_clients).values(**_columns(client, metadata), created_at=tx.now))
    return True


def use_in(tx: Transaction, client_id: str) -> None:
    """Note that a person has consented to a client."""
    tx.connection.execute(update(_clients).where(_clients.c.client_id == client_id).values(used_at=tx.now))


def _forget_unconsented_in(tx: Transaction) -> bool:
    """Forget the oldest that nobody has consented to, before others one that nobody is signing in from.

    Never one that somebody is just asked about, who has shown the provider who they are.
    """
    of_client = _requests.c.client_id == _clients.c.client_id
    is_asked = exists().where(of_client, _requests.c.stage != "provider")
    unconsented = (_clients.c.kind == "registered", _clients.c.used_at.is_(None), ~is_asked)
    order = (exists().where(of_client), _clients.c.created_at, _clients.c.client_id)
    oldest = select(_clients.c.client_id).where(*unconsented).order_by(*order).limit(1).scalar_subquery()
    return tx.connection.execute(delete(_clients).where(_clients.c.client_id == oldest)).rowcount == 1


def _make_room_in(tx: Transaction) -> None:
    """Forget the stalest description where there are too many; none of a session, or of a sign-in under way."""
    documents = select(func.count()).select_from(_clients).where(_clients.c.kind == "document")
    if tx.connection.execute(documents).scalar_one() < MAX_DOCUMENTS:
        return
    live = select(_sessions.c.client_id).where(_sessions.c.client_id.is_not(None), _sessions.c.ended_at.is_(None))
    under_way = select(_requests.c.client_id).where(_requests.c.client_id.is_not(None))
    unused = (_clients.c.kind == "document", _clients.c.client_id.not_in(union_all(live, under_way)))
    stalest = select(_clients.c.client_id).where(*unused).order_by(_clients.c.fresh_until).limit(1)
    client_id = tx.connection.execute(stalest).scalar()
    tx.connection.execute(delete(_clients).where(_clients.c.client_id == client_id))


def _columns(client: OAuthClient, metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "kind": client.kind,
        "name": client.name,
        "redirect_uris": json.dumps(client.redirect_uris),
        "metadata": json.dumps(dict(metadata)),
    }


def _read(row: Row[Any]) -> StoredClient:
    client = OAuthClient(row.client_id, row.kind, row.name, tuple(json.loads(row.redirect_uris)))
    return StoredClient(client, json.loads(row.metadata), row.fresh_until)

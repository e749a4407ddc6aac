"""API keys as they are kept: a digest each, so that whoever reads the store cannot use one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import bindparam, insert, or_, update

from orgserver.model.names import new_id
from orgserver.store.catalog_version import changed_in
from orgserver.store.people import tables
from orgserver.store.transaction import Transaction, to_microseconds

_keys = tables.api_keys


def add_in(tx: Transaction, principal: str, digest: bytes, until: datetime | None) -> str:
    """Keep a new key of a principal; its id."""
    key_id = new_id()
    values = {
        "id": key_id,
        "principal": principal,
        "digest": digest,
        "created_at": tx.now,
        "until": to_microseconds(until) if until else None,
    }
    tx.connection.execute(insert(_keys).values(values))
    changed_in(tx, "key")
    return key_id


def revoke_in(tx: Transaction, key_id: str) -> None:
    """End a key now."""
    tx.connection.execute(update(_keys).where(_keys.c.id == key_id).values(revoked_at=tx.now))
    changed_in(tx, "key")


def touch_in(tx: Transaction, uses: Mapping[str, int]) -> None:
    """Note when keys were used last. Nobody reads anything anew for that."""
    key_id, used_at = bindparam("key_id", type_=_keys.c.id.type), bindparam("used_at", type_=_keys.c.last_used_at.type)
    is_later = or_(_keys.c.last_used_at.is_(None), _keys.c.last_used_at < used_at)
    statement = update(_keys).where(_keys.c.id == key_id, is_later).values(last_used_at=used_at)
    tx.connection.execute(statement, [{"key_id": each, "used_at": time} for each, time in uses.items()])

"""API keys as they are kept: a digest each, so that whoever reads the store cannot use one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.principals import ApiKey
from orgserver.model.names import new_id
from orgserver.store.people import rows, tables
from orgserver.store.transaction import Transaction, to_microseconds

_keys = tables.api_keys


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key that was looked up by its digest, and whether its principal may use anything now."""

    key: ApiKey
    digest: bytes
    is_enabled: bool


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
    return key_id


def revoke_in(tx: Transaction, key_id: str) -> None:
    """End a key now."""
    tx.connection.execute(update(_keys).where(_keys.c.id == key_id).values(revoked_at=tx.now))


async def by_digest(connection: AsyncConnection, digest: bytes) -> StoredKey | None:
    """The key of a digest, whether or not it still opens anything."""
    principals = tables.principals
    query = select(_keys, principals.c.enabled).join(principals, principals.c.name == _keys.c.principal)
    row = (await connection.execute(query.where(_keys.c.digest == digest))).first()
    return StoredKey(rows.read_key(row), row.digest, row.enabled) if row is not None else None


def touch_in(tx: Transaction, key_id: str, pause_us: int) -> None:
    """Note that a key was used, unless that was noted within the last ``pause_us``."""
    is_due = or_(_keys.c.last_used_at.is_(None), _keys.c.last_used_at <= tx.now - pause_us)
    tx.connection.execute(update(_keys).where(_keys.c.id == key_id, is_due).values(last_used_at=tx.now))

"""Descriptions of orgs' objects, kept between processes and bounded per org: the least recently used goes first."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import BigInteger, and_, cast, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from orgserver.store import tables
from orgserver.store.sql.statements import insert_into
from orgserver.store.transaction import Transaction

_describes = tables.describes


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many describes are kept for one org, and how large they may be."""

    rows: int = 200
    total_bytes: int = 2 * 1024 * 1024
    body_bytes: int = 512 * 1024
    """Of one alone."""


BOUNDS = Bounds()


class DescribeKey(msgspec.Struct, frozen=True):
    """What is described: an object (or, empty, the list of all) of an org, for one of its users."""

    row_id: str
    user_id: str
    object: str
    """In lower case."""
    api_version: str


@dataclass(frozen=True, slots=True)
class StoredDescribe:
    """A describe as the store keeps it."""

    body: bytes
    last_modified: str | None
    fetched_at: int
    """Microseconds since 1970 UTC."""


async def find(connection: AsyncConnection, key: DescribeKey) -> StoredDescribe | None:
    """Look one up."""
    columns = (_describes.c.body, _describes.c.last_modified, _describes.c.fetched_at)
    row = (await connection.execute(select(*columns).where(_is(key)))).first()
    return StoredDescribe(row.body, row.last_modified, row.fetched_at) if row is not None else None


def keep_in(tx: Transaction, key: DescribeKey, describe: StoredDescribe, bounds: Bounds = BOUNDS) -> bool:
    """Keep one, and let older ones of the same org go; False if it is too large, or its org is gone."""
    org = tx.connection.execute(select(tables.orgs.c.row_id).where(tables.orgs.c.row_id == key.row_id)).first()
    if org is None or len(describe.body) > bounds.body_bytes:
        return False
    values = {
        "body": describe.body,
        "last_modified": describe.last_modified,
        "fetched_at": describe.fetched_at,
        "used_at": tx.now,
    }
    identity = {"row_id": key.row_id, "user_id": key.user_id, "object": key.object, "api_version": key.api_version}
    insertion = insert_into(tx.connection.dialect.name, _describes).values(identity | values)
    tx.connection.execute(insertion.on_conflict_do_update(index_elements=list(identity), set_=values))
    _prune_in(tx, key, bounds)
    return True


def touch_in(tx: Transaction, key: DescribeKey) -> None:
    """Note that one was used."""
    tx.connection.execute(update(_describes).where(_is(key)).values(used_at=tx.now))


def confirm_in(tx: Transaction, key: DescribeKey, fetched_at: int) -> None:
    """Note that nothing has changed (304)."""
    tx.connection.execute(update(_describes).where(_is(key)).values(fetched_at=fetched_at, used_at=tx.now))


def forget_in(tx: Transaction, key: DescribeKey) -> None:
    """Drop one: its object is gone."""
    tx.connection.execute(delete(_describes).where(_is(key)))


def _prune_in(tx: Transaction, newest: DescribeKey, bounds: Bounds) -> None:
    mine = _describes.c.row_id == newest.row_id
    size = func.length(_describes.c.body)
    count, total = tx.connection.execute(select(func.count(), cast(func.sum(size), BigInteger)).where(mine)).one()
    if count <= bounds.rows and total <= bounds.total_bytes:
        return
    names = (_describes.c.user_id, _describes.c.object, _describes.c.api_version)
    oldest = tx.connection.execute(select(*names, size.label("size")).where(mine).order_by(_describes.c.used_at)).all()
    for row in oldest:
        if count <= bounds.rows and total <= bounds.total_bytes:
            return
        key = DescribeKey(newest.row_id, row.user_id, row.object, row.api_version)
        if key != newest:
            tx.connection.execute(delete(_describes).where(_is(key)))
            count, total = count - 1, total - row.size


def _is(key: DescribeKey) -> ColumnElement[bool]:
    return and_(
        _describes.c.row_id == key.row_id,
        _describes.c.user_id == key.user_id,
        _describes.c.object == key.object,
        _describes.c.api_version == key.api_version,
    )

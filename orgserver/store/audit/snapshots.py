"""What changes replaced, for orgs whose policy keeps it: sealed rows beside the chain, and their digests in it.

The event of kind ``values`` holds ``SHA-256(salt ‖ JSON {"after", "before", "object", "record_id"})``. Salt and
values stand in the row alone: once it is erased, nothing can be learnt from the digest, and the chain verifies as
before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, bindparam, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.errors import StoreError
from orgserver.model.names import RecordId, RowId, SObjectName
from orgserver.model.results import FieldValues
from orgserver.store import tables
from orgserver.store.audit import chain, index
from orgserver.store.audit.holds import find_covering_hold
from orgserver.store.audit.log import AuditLog
from orgserver.store.orgs.registry import Orgs
from orgserver.store.sql.statements import SQLITE
from orgserver.store.transaction import Transaction, to_microseconds
from orgserver.vault.keys import Context, Unsealable

COSTS = "this org keeps what changes replace: the change will read before it writes, which is one more API call"
_SALT = 16
_rows = tables.kept_values
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_event = tables.audit_events.alias("values_event")
_CHECKED = (
    select(
        _rows,
        tables.data_keys.c.wrapped,
        _event.c.sequence,
        _event.c.canonical,
        _event.c.time.label("event_time"),
    )
    .outerjoin(tables.data_keys, tables.data_keys.c.owner == _rows.c.row_id)
    .outerjoin(_event, and_(_event.c.entry_id == _rows.c.entry_id, _event.c.kind == chain.VALUES))
    .where(or_(bindparam("after", type_=Text).is_(None), _rows.c.entry_id > bindparam("after")))
    .order_by(_rows.c.entry_id)
    .limit(1_000)
)

Open = Callable[[str, bytes, bytes, Context], bytes]
"""Opens what is sealed, for the owner with this row id and wrapped data key; Unsealable if it cannot be."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one act replaced."""

    row_id: str
    object: str
    record_id: str
    """Empty for a create: the entry's outcome names it."""
    before: FieldValues | None
    """None for a create."""
    after: FieldValues | None
    """None for a delete."""
    login_id: str | None = None
    """Of whose own login has read it; None: the shared one."""


@dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """What of a change is to be kept."""

    sobject: SObjectName
    record_id: RecordId | None = None
    """None for a create."""
    fields: tuple[str, ...] | None = None
    """Which to read first; None for every field that there is."""
    after: FieldValues | None = None
    key: tuple[str, str] | None = None
    """Of an upsert: the field and value by which the record is found, if there is one."""


@dataclass(frozen=True, slots=True)
class SnapshotFilter:
    """Which kept values; every given criterion must hold, and one must be given."""

    record_id: str | None = None
    row_id: str | None = None
    alias: str | None = None
    """The org as it was called, for one that was removed."""
    before: datetime | None = None
    principal: str | None = None


def save_in(tx: Transaction, orgs: Orgs, log: AuditLog, entry_id: str, snapshot: Snapshot) -> None:
    """Keep what an act replaces, and say in the chain that it is kept. StoreError if the org is gone."""
    owner = select(tables.data_keys.c.owner).where(tables.data_keys.c.owner == snapshot.row_id)
    if tx.connection.execute(owner).first() is None:
        raise StoreError("the org was removed a moment ago")
    salt, plain = os.urandom(_SALT), _encode_snapshot(snapshot)
    where = context(snapshot.row_id, entry_id, snapshot.login_id)
    sealed = orgs.credentials.data_key_in(tx, RowId(snapshot.row_id)).seal(plain, where)
    tx.connection.execute(
        insert(_rows).values(
            entry_id=entry_id,
            row_id=snapshot.row_id,
            object=snapshot.object,
            record_id=snapshot.record_id,
            time=tx.now,
            salt=salt,
            sealed=sealed,
            login_id=snapshot.login_id,
        )
    )
    log.values_in(tx, entry_id, digest(salt, plain))


async def load(connection: AsyncConnection, orgs: Orgs, entry_id: str) -> Snapshot | None:
    """What an act replaced; None if nothing is kept of it. Unsealable if its org, and so its key, is gone."""
    row = (await connection.execute(select(_rows).where(_rows.c.entry_id == entry_id))).first()
    if row is None:
        return None
    owner = select(tables.data_keys.c.owner).where(tables.data_keys.c.owner == row.row_id)
    if (await connection.execute(owner)).first() is None:
        raise Unsealable("the org of these values was removed, and their key with it")
    key = await orgs.credentials.data_key(connection, row.row_id)
    values: dict[str, Any] = json.loads(key.open(row.sealed, context(row.row_id, entry_id, row.login_id)))
    if not _is_about(row, values):
        raise Unsealable("these values were kept for another record: somebody has edited the store")
    return Snapshot(row.row_id, row.object, row.record_id, values["before"], values["after"], row.login_id)


def _encode_snapshot(snapshot: Snapshot) -> bytes:
    """What is sealed and hashed: the values, and whose they are."""
    names = ("object", "record_id", "before", "after")
    return _encode({name: getattr(snapshot, name) for name in names}).encode()


def _is_about(row: Any, values: dict[str, Any]) -> bool:
    """Whether a row says the same of whose values it holds as is sealed in it: it is found, and undone, by that."""
    return bool((row.object, row.record_id) == (values["object"], values["record_id"]))


async def count(connection: AsyncConnection, criteria: SnapshotFilter) -> int:
    """How many rows would be erased."""
    query = select(func.count()).select_from(_rows).where(*_list_conditions(criteria))
    return int((await connection.execute(query)).scalar_one())


def find_hold_in(tx: Transaction, criteria: SnapshotFilter) -> str | None:
    """The name of an audit hold that covers the entries of kept values; the search tables must have been caught up."""
    entries = select(_rows.c.entry_id).where(*_list_conditions(criteria))
    return find_covering_hold(tx.connection, tables.audit_entries.c.entry_id.in_(entries))


def erase_in(tx: Transaction, log: AuditLog, criteria: SnapshotFilter, intent: Intent) -> int:
    """Erase kept values, which is on record with their number."""
    if tx.connection.dialect.name == SQLITE:
        tx.connection.exec_driver_sql("PRAGMA secure_delete = ON")  # the pages they stood on are overwritten
    erased = tx.connection.execute(delete(_rows).where(*_list_conditions(criteria))).rowcount
    log.record_in(tx, intent, Completion(Outcome.SUCCEEDED, row_count=erased))
    return erased


def find_problem(connection: Connection, open_snapshot: Open) -> tuple[int, str] | None:
    """The first kept row that does not fit its event: the event's sequence and what is wrong.

    A row that was erased is fine, and so is one whose org was removed, for nobody can open it any more.
    """
    bad: list[tuple[int, str]] = []
    after = None
    while rows := connection.execute(_CHECKED, {"after": after}).all():
        for row in rows:
            if type(row.entry_id) is not str or row.sequence is None:
                return 1, f"values are kept for {row.entry_id!r}, and the log does not say so"
            if row.wrapped is not None and not _fits(row, open_snapshot):
                bad.append((row.sequence, f"the values kept at entry {row.sequence} were edited"))
        after = rows[-1].entry_id
    return min(bad, default=None)


def _fits(row: Any, open_snapshot: Open) -> bool:
    try:
        plain = open_snapshot(row.row_id, row.wrapped, row.sealed, context(row.row_id, row.entry_id, row.login_id))
        is_same = digest(row.salt, plain) == json.loads(row.canonical)["digest"]
    except (Unsealable, TypeError):
        return False
    return is_same and row.time == row.event_time and _is_about(row, json.loads(plain))


def digest(salt: bytes, plain: bytes) -> str:
    """What the chain says of kept values."""
    return hashlib.sha256(salt + plain).hexdigest()


def context(row_id: str, entry_id: str, login_id: str | None) -> Context:
    """Where kept values belong: to their entry, and to whose own login has read them."""
    return Context(row_id, _rows.name, "sealed", entry_id if login_id is None else f"{entry_id}:{login_id}")


def _list_conditions(criteria: SnapshotFilter) -> list[ColumnElement[bool]]:
    entries, touched = tables.audit_entries, tables.audit_touched
    conditions: list[ColumnElement[bool]] = []
    if criteria.record_id is not None:
        acts = select(entries.c.entry_id).join_from(entries, touched, touched.c.sequence == entries.c.sequence)
        of_it = acts.where(touched.c.record_id == criteria.record_id)
        conditions.append(or_(_rows.c.record_id == criteria.record_id, _rows.c.entry_id.in_(of_it)))
    if criteria.row_id is not None:
        conditions.append(_rows.c.row_id == criteria.row_id)
    if criteria.alias is not None:
        conditions.append(
            _rows.c.entry_id.in_(select(entries.c.entry_id).where(entries.c.org == index.folded(criteria.alias)))
        )
    if criteria.before is not None:
        conditions.append(_rows.c.time < to_microseconds(criteria.before))
    if criteria.principal is not None:
        by = select(entries.c.entry_id).where(entries.c.principal == index.folded(criteria.principal))
        conditions.append(_rows.c.entry_id.in_(by))
    if not conditions:
        raise ValueError("no criterion")
    return conditions

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
from orgserver.store.audit import chain, index, pruning
from orgserver.store.audit.log import AuditLog
from orgserver.store.orgs.registry import Orgs
from orgserver.store.times import to_microseconds
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context, Unsealable

COSTS = "this org keeps what changes replace: the change will read before it writes, which is one more API call"
_SALT = 16
_kept = tables.kept_values
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_said = tables.audit_events.alias("said")
_CHECKED = (
    select(_kept, tables.data_keys.c.wrapped, _said.c.sequence, _said.c.canonical, _said.c.time.label("said_at"))
    .outerjoin(tables.data_keys, tables.data_keys.c.owner == _kept.c.row_id)
    .outerjoin(_said, and_(_said.c.entry_id == _kept.c.entry_id, _said.c.kind == chain.VALUES))
    .where(or_(bindparam("after", type_=Text).is_(None), _kept.c.entry_id > bindparam("after")))
    .order_by(_kept.c.entry_id)
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


def keep_in(tx: Transaction, orgs: Orgs, log: AuditLog, entry_id: str, kept: Snapshot) -> None:
    """Keep what an act replaces, and say in the chain that it is kept. StoreError if the org is gone."""
    known = select(tables.data_keys.c.owner).where(tables.data_keys.c.owner == kept.row_id)
    if tx.connection.execute(known).first() is None:
        raise StoreError("the org was removed a moment ago")
    salt, plain = os.urandom(_SALT), _plain(kept)
    sealed = orgs.credentials.data_key_in(tx, RowId(kept.row_id)).seal(plain, context(kept.row_id, entry_id))
    tx.connection.execute(
        insert(_kept).values(
            entry_id=entry_id,
            row_id=kept.row_id,
            object=kept.object,
            record_id=kept.record_id,
            time=tx.now,
            salt=salt,
            sealed=sealed,
        )
    )
    log.values_in(tx, entry_id, digest(salt, plain))


async def of(connection: AsyncConnection, orgs: Orgs, entry_id: str) -> Snapshot | None:
    """What an act replaced; None if nothing is kept of it. Unsealable if its org, and so its key, is gone."""
    row = (await connection.execute(select(_kept).where(_kept.c.entry_id == entry_id))).first()
    if row is None:
        return None
    known = select(tables.data_keys.c.owner).where(tables.data_keys.c.owner == row.row_id)
    if (await connection.execute(known)).first() is None:
        raise Unsealable("the org of these values was removed, and their key with it")
    key = await orgs.credentials.data_key(connection, row.row_id)
    told: dict[str, Any] = json.loads(key.open(row.sealed, context(row.row_id, entry_id)))
    if not _about(row, told):
        raise Unsealable("these values were kept for another record: somebody has edited the store")
    return Snapshot(row.row_id, row.object, row.record_id, told["before"], told["after"])


def _plain(kept: Snapshot) -> bytes:
    """What is sealed and hashed: the values, and whose they are."""
    values = {"object": kept.object, "record_id": kept.record_id, "before": kept.before, "after": kept.after}
    return _encode(values).encode()


def _about(row: Any, told: dict[str, Any]) -> bool:
    """Whether a row says the same of whose values it holds as is sealed in it: it is found, and undone, by that."""
    return bool((row.object, row.record_id) == (told["object"], told["record_id"]))


async def count(connection: AsyncConnection, which: SnapshotFilter) -> int:
    """How many rows would be erased."""
    return int((await connection.execute(select(func.count()).select_from(_kept).where(*_where(which)))).scalar_one())


def held_in(tx: Transaction, which: SnapshotFilter) -> str | None:
    """The name of an audit hold that covers the entries of kept values; the search tables must have been caught up."""
    entries = select(_kept.c.entry_id).where(*_where(which))
    return pruning.covering(tx.connection, tables.audit_entries.c.entry_id.in_(entries))


def erase_in(tx: Transaction, log: AuditLog, which: SnapshotFilter, intent: Intent) -> int:
    """Erase kept values, which is on record with their number."""
    tx.connection.exec_driver_sql("PRAGMA secure_delete = ON")  # the pages they stood on are overwritten
    erased = tx.connection.execute(delete(_kept).where(*_where(which))).rowcount
    log.record_in(tx, intent, Completion(Outcome.SUCCEEDED, row_count=erased))
    return erased


def check(connection: Connection, open_kept: Open) -> tuple[int, str] | None:
    """The first kept row that does not fit its event: the event's sequence and what is wrong.

    A row that was erased is fine, and so is one whose org was removed, for nobody can open it any more.
    """
    bad: list[tuple[int, str]] = []
    after = None
    while rows := connection.execute(_CHECKED, {"after": after}).all():
        for row in rows:
            if type(row.entry_id) is not str or row.sequence is None:
                return 1, f"values are kept for {row.entry_id!r}, and the log does not say so"
            if row.wrapped is not None and not _fits(row, open_kept):
                bad.append((row.sequence, f"the values kept at entry {row.sequence} were edited"))
        after = rows[-1].entry_id
    return min(bad, default=None)


def _fits(row: Any, open_kept: Open) -> bool:
    try:
        plain = open_kept(row.row_id, row.wrapped, row.sealed, context(row.row_id, row.entry_id))
        same = digest(row.salt, plain) == json.loads(row.canonical)["digest"]
    except (Unsealable, TypeError):
        return False
    return same and row.time == row.said_at and _about(row, json.loads(plain))


def digest(salt: bytes, plain: bytes) -> str:
    """What the chain says of kept values."""
    return hashlib.sha256(salt + plain).hexdigest()


def context(row_id: str, entry_id: str) -> Context:
    """Where kept values belong."""
    return Context(row_id, _kept.name, "sealed", entry_id)


def _where(which: SnapshotFilter) -> list[ColumnElement[bool]]:
    entries, touched = tables.audit_entries, tables.audit_touched
    found: list[ColumnElement[bool]] = []
    if which.record_id is not None:
        acts = select(entries.c.entry_id).join_from(entries, touched, touched.c.sequence == entries.c.sequence)
        of_it = acts.where(touched.c.record_id == which.record_id)
        found.append(or_(_kept.c.record_id == which.record_id, _kept.c.entry_id.in_(of_it)))
    if which.row_id is not None:
        found.append(_kept.c.row_id == which.row_id)
    if which.alias is not None:
        found.append(_kept.c.entry_id.in_(select(entries.c.entry_id).where(entries.c.org == index.folded(which.alias))))
    if which.before is not None:
        found.append(_kept.c.time < to_microseconds(which.before))
    if which.principal is not None:
        by = select(entries.c.entry_id).where(entries.c.principal == index.folded(which.principal))
        found.append(_kept.c.entry_id.in_(by))
    if not found:
        raise ValueError("no criterion")
    return found

"""Holds: entries that may not be pruned, nor the values erased that they replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.store import tables
from orgserver.store.audit import index
from orgserver.store.audit.log import AuditLog
from orgserver.store.transaction import Transaction, to_microseconds

_entries = tables.audit_entries
_holds = tables.audit_holds


@dataclass(frozen=True, slots=True)
class Hold:
    """Entries that may not be pruned: those that meet every criterion given, all of them if none is."""

    name: str
    principal: str
    time: int
    org: str | None = None
    record_id: str | None = None
    since: int | None = None
    until: int | None = None


async def list_holds(connection: AsyncConnection) -> list[Hold]:
    """Every hold, by name."""
    return [Hold(*row) for row in (await connection.execute(select(_holds).order_by(_holds.c.name))).all()]


async def find_hold(connection: AsyncConnection, upto: int) -> str | None:
    """The name of a hold that covers an entry up to a sequence."""
    return await connection.run_sync(lambda sync: find_hold_in(sync, upto))


def find_hold_in(connection: Connection, upto: int) -> str | None:
    """The name of a hold that covers an entry up to a sequence."""
    return find_covering_hold(connection, _entries.c.sequence <= upto)


def find_covering_hold(connection: Connection, which: ColumnElement[bool]) -> str | None:
    """The name of a hold that covers one of these rows of ``audit_entries``."""
    for row in connection.execute(select(_holds).order_by(_holds.c.name)).all():
        hold = Hold(*row)
        covered = select(_entries.c.sequence).where(which)
        if hold.org is not None:
            covered = covered.where(_entries.c.org == index.folded(hold.org))
        if hold.since is not None:
            covered = covered.where(_entries.c.time >= hold.since)
        if hold.until is not None:
            covered = covered.where(_entries.c.time < hold.until)
        if hold.record_id is not None:
            touched = tables.audit_touched
            covered = covered.join(touched, touched.c.sequence == _entries.c.sequence)
            covered = covered.where(touched.c.record_id == hold.record_id)
        if connection.execute(covered.limit(1)).first() is not None:
            return hold.name
    return None


# -- changes within a transaction


def add_hold_in(tx: Transaction, log: AuditLog, caller: Caller, name: str, entries: EntryFilter) -> bool:
    """Place a hold, on record; False if there is one of this name."""
    if tx.connection.execute(select(_holds.c.name).where(_holds.c.name == name)).first() is not None:
        return False
    since = to_microseconds(entries.since) if entries.since is not None else None
    until = to_microseconds(entries.until) if entries.until is not None else None
    hold = Hold(name, caller.principal.name, tx.now, entries.org, entries.record_id, since, until)
    tx.connection.execute(insert(_holds).values(**{column.name: getattr(hold, column.name) for column in _holds.c}))
    record_ids = (entries.record_id,) if entries.record_id is not None else ()
    _record(tx, log, caller, "audit hold", label=name, org=entries.org, record_ids=record_ids)
    return True


def release_hold_in(tx: Transaction, log: AuditLog, caller: Caller, name: str) -> bool:
    """Lift a hold, on record; False if there is none of this name."""
    if tx.connection.execute(delete(_holds).where(_holds.c.name == name)).rowcount == 0:
        return False
    _record(tx, log, caller, "audit hold --release", label=name)
    return True


def _record(tx: Transaction, log: AuditLog, caller: Caller, tool: str, **details: Any) -> None:
    intent = Intent(new_id(), caller.principal.name, caller.transport, Action.POLICY, tool, **details)
    log.record_in(tx, intent, Completion(Outcome.SUCCEEDED))

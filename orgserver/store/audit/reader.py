"""How the audit log is read: entries joined from their events, filtered in SQL, a page at a time."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import AuditEntry, EntryFilter, Outcome
from orgserver.store import tables
from orgserver.store.audit import chain, index
from orgserver.store.audit.base import read_base_in
from orgserver.store.audit.entries import read_entry
from orgserver.store.sql.canonical import holds
from orgserver.store.transaction import to_microseconds

PAGE = 500
FEW = 20_000
"""So many entries of a span of time are looked up at once; a walk over so many needs no shortcut."""
REFUSED = (Outcome.DENIED.value, Outcome.NOT_SENT.value)
"""How a call ends that a rule stands against."""
_entries = tables.audit_entries
_intents = tables.audit_events.alias("intents")
_outcomes = tables.audit_events.alias("outcomes")
_events = tables.audit_events
_ended = tables.audit_events.alias("ended")


async def read_newest(
    connection: AsyncConnection, criteria: EntryFilter, limit: int, few: int = FEW
) -> list[AuditEntry]:
    """The latest entries, newest first."""
    entries: list[AuditEntry] = []
    before: int | None = None
    span = await _narrow(connection, criteria, few)
    while len(entries) < limit:
        query = select_entries(criteria).where(*span).order_by(_entries.c.sequence.desc()).limit(min(PAGE, limit))
        if before is not None:
            query = query.where(_entries.c.sequence < before)
        rows = (await connection.execute(query)).all()
        entries += [*map(read_entry, rows)]
        if len(rows) < min(PAGE, limit):
            break
        before = rows[-1].sequence
    return entries[:limit]


async def read_page(
    connection: AsyncConnection, criteria: EntryFilter, after: int
) -> tuple[list[AuditEntry], int | None]:
    """A page of entries in their order, and where to go on; None at the end."""
    query = select_entries(criteria).where(_entries.c.sequence > after).order_by(_entries.c.sequence).limit(PAGE)
    rows = (await connection.execute(query)).all()
    entries = [*map(read_entry, rows)]
    return entries, rows[-1].sequence if len(rows) == PAGE else None


async def find_entry(connection: AsyncConnection, id_: str) -> AuditEntry | None:
    """One entry."""
    row = (await connection.execute(select_entries(EntryFilter()).where(_entries.c.entry_id == id_))).first()
    return read_entry(row) if row is not None else None


async def find_ids(connection: AsyncConnection, beginning: str, limit: int) -> list[str]:
    """Ids of entries that begin so."""
    column = _entries.c.entry_id
    query = select(column).where(column >= beginning, column < f"{beginning}\x7f").order_by(column).limit(limit)
    return list((await connection.execute(query)).scalars())


async def find_record_ids(connection: AsyncConnection, beginning: str, limit: int) -> list[str]:
    """Ids of records that entries touched, and which begin so."""
    column = tables.audit_touched.c.record_id
    record_ids = select(column).where(column >= beginning, column < f"{beginning}\x7f").distinct()
    return list((await connection.execute(record_ids.order_by(column).limit(limit))).scalars())


async def read_head(connection: AsyncConnection) -> int:
    """The sequence of the last event, whatever the head says."""
    return (await connection.execute(select(func.max(_events.c.sequence)))).scalar() or 0


async def read_completed(
    connection: AsyncConnection, after: int, criteria: EntryFilter
) -> tuple[list[AuditEntry], int]:
    """Entries whose outcome came after a sequence, in its order, and how far that is."""
    upto = (await connection.execute(select(tables.audit_indexed.c.sequence))).scalar_one()
    upto = min(upto, after + PAGE)
    span = (_events.c.sequence > after, _events.c.sequence <= upto, _events.c.kind == chain.OUTCOME)
    entries = select_entries(criteria).where(_entries.c.entry_id.in_(select(_events.c.entry_id).where(*span)))
    rows = (await connection.execute(entries.order_by(_entries.c.outcome_sequence))).all()
    return [*map(read_entry, rows)], max(upto, after)


async def read_events(
    connection: AsyncConnection, criteria: EntryFilter, after: int, store_id: str
) -> tuple[list[dict[str, Any]], int | None]:
    """A page of the raw chain within the filter's span, and where to go on."""
    which = (_events.c.sequence > after, *_span(_events.c.time, criteria))
    page = await connection.run_sync(lambda sync: _read_events_in(sync, store_id, *which, limit=PAGE))
    return page, page[-1]["sequence"] if len(page) == PAGE else None


def read_events_between(connection: Connection, after: int, upto: int, store_id: str) -> list[dict[str, Any]]:
    """The raw chain after one sequence and up to another."""
    return _read_events_in(connection, store_id, _events.c.sequence > after, _events.c.sequence <= upto)


def _read_events_in(
    connection: Connection, store_id: str, *which: ColumnElement[bool], limit: int | None = None
) -> list[dict[str, Any]]:
    query = select(_events).where(*which).order_by(_events.c.sequence).limit(limit)
    rows = connection.execute(query).all()
    if not rows:
        return []
    before = select(_events.c.hash).where(_events.c.sequence == rows[0].sequence - 1)
    previous = connection.execute(before).scalar() or read_base_in(connection, store_id).hash
    page: list[dict[str, Any]] = []
    for row in rows:
        page.append(
            {
                "sequence": row.sequence,
                "previous_hash": previous.hex(),
                "hash": _bytes(row.hash).hex(),
                "mac": _bytes(row.mac).hex(),
                "canonical": _bytes(row.canonical).decode("utf-8", "backslashreplace"),
            }
        )
        previous = _bytes(row.hash)
    return page


def _bytes(value: object) -> bytes:
    """A column's bytes, even where somebody turned them into something else: the evidence shows it as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


def select_entries(criteria: EntryFilter) -> Select[Any]:
    """Entries by what they are entries by, with what the chain says of each."""
    query = (
        select(
            _entries.c.sequence,
            _intents.c.canonical,
            _intents.c.hash,
            _entries.c.outcome_sequence,
            _outcomes.c.canonical.label("outcome_canonical"),
            _outcomes.c.hash.label("outcome_hash"),
        )
        .join_from(_entries, _intents, _intents.c.sequence == _entries.c.sequence)
        .join(_outcomes, _outcomes.c.sequence == _entries.c.outcome_sequence, isouter=True)
        .where(*_span(_entries.c.time, criteria))
    )
    for column in ("org", "principal", "tool", "action", "object", "outcome"):
        value = getattr(criteria, column)
        if value is not None:
            query = query.where(_entries.c[column] == index.folded(value))
    if criteria.decision is not None:
        query = query.where(*denied_by(criteria.decision))
    if criteria.record_id is not None:
        touched = tables.audit_touched
        query = query.join(touched, touched.c.sequence == _entries.c.sequence)
        query = query.where(touched.c.record_id == criteria.record_id)
    return query


async def _narrow(connection: AsyncConnection, criteria: EntryFilter, few: int) -> list[ColumnElement[bool]]:
    """Where the entries of a span of time are: a walk back from the end would pass all that are later, one by one.

    Times are those of a clock that may have been set back, so they need not stand in the order of the sequence.
    """
    if criteria.since is None and criteria.until is None:
        return []
    within = _span(_entries.c.time, criteria)
    if await _is_few(connection, within, few):
        other = tables.audit_entries.alias("within")
        return [_entries.c.sequence.in_(select(other.c.sequence).where(*_span(other.c.time, criteria)))]
    if criteria.until is None:
        return []
    if await _is_few(connection, [_entries.c.time >= to_microseconds(criteria.until)], few):
        return []
    last = select(func.max(_entries.c.sequence + 0)).where(*within)  # + 0: by the index of times, not by walking back
    return [_entries.c.sequence <= (await connection.execute(last)).scalar_one()]


async def _is_few(connection: AsyncConnection, conditions: list[ColumnElement[bool]], few: int) -> bool:
    some = select(_entries.c.sequence).where(*conditions).limit(few).subquery()
    return bool((await connection.execute(select(func.count()).select_from(some))).scalar_one() < few)


def denied_by(rule: str) -> tuple[ColumnElement[bool], ...]:
    """Whether a rule that begins so denied it: as its outcome says, which is looked at only where something failed."""
    beginning = json.dumps(rule, ensure_ascii=False).removesuffix('"')
    outcome = select(_ended.c.sequence).where(
        _ended.c.sequence == _entries.c.outcome_sequence,
        holds(_ended.c.canonical, f'"decision":{beginning}'),
    )
    return _entries.c.outcome.in_(REFUSED), outcome.correlate(_entries).exists()


def _span(time: ColumnElement[int], criteria: EntryFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if criteria.since is not None:
        conditions.append(time >= to_microseconds(criteria.since))
    if criteria.until is not None:
        conditions.append(time < to_microseconds(criteria.until))
    return conditions

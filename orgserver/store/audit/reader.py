"""How the audit log is read: entries joined from their events, filtered in SQL, a page at a time."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import MAX_RECORD_IDS, AuditEntry, EntryFilter, Outcome
from orgserver.model.errors import AuditBroken
from orgserver.store import tables
from orgserver.store.audit import chain, index
from orgserver.store.audit.base import read_base
from orgserver.store.times import to_datetime, to_microseconds

PAGE = 500
FEW = 20_000
"""So many entries of a span of time are looked up at once; a walk over so many needs no shortcut."""
_found = tables.audit_entries
_intents = tables.audit_events.alias("intents")
_outcomes = tables.audit_events.alias("outcomes")
_events = tables.audit_events


async def newest(connection: AsyncConnection, wanted: EntryFilter, limit: int) -> list[AuditEntry]:
    """The latest entries, newest first."""
    found: list[AuditEntry] = []
    before: int | None = None
    near = await _near(connection, wanted)
    while len(found) < limit:
        query = joined(wanted).where(*near).order_by(_found.c.sequence.desc()).limit(min(PAGE, limit))
        if before is not None:
            query = query.where(_found.c.sequence < before)
        rows = (await connection.execute(query)).all()
        found += [*map(_entry, rows)]
        if len(rows) < min(PAGE, limit):
            break
        before = rows[-1].sequence
    return found[:limit]


async def entries(connection: AsyncConnection, wanted: EntryFilter, after: int) -> tuple[list[AuditEntry], int | None]:
    """A page of entries in their order, and where to go on; None at the end."""
    query = joined(wanted).where(_found.c.sequence > after).order_by(_found.c.sequence).limit(PAGE)
    rows = (await connection.execute(query)).all()
    found = [*map(_entry, rows)]
    return found, rows[-1].sequence if len(rows) == PAGE else None


async def entry(connection: AsyncConnection, id_: str) -> AuditEntry | None:
    """One entry."""
    row = (await connection.execute(joined(EntryFilter()).where(_found.c.entry_id == id_))).first()
    return _entry(row) if row is not None else None


async def ids(connection: AsyncConnection, beginning: str, limit: int) -> list[str]:
    """Ids of entries that begin so."""
    column = _found.c.entry_id
    query = select(column).where(column >= beginning, column < f"{beginning}\x7f").order_by(column).limit(limit)
    return list((await connection.execute(query)).scalars())


async def records(connection: AsyncConnection, beginning: str, limit: int) -> list[str]:
    """Ids of records that entries touched, and which begin so."""
    column = tables.audit_touched.c.record_id
    some = select(column).where(column >= beginning, column < f"{beginning}\x7f").distinct()
    return list((await connection.execute(some.order_by(column).limit(limit))).scalars())


async def head(connection: AsyncConnection) -> int:
    """The sequence of the last event."""
    return int((await connection.execute(select(tables.audit_head.c.sequence))).scalar_one())


async def ended(connection: AsyncConnection, after: int, wanted: EntryFilter) -> tuple[list[AuditEntry], int]:
    """Entries whose outcome came after a sequence, in its order, and how far that is."""
    upto = (await connection.execute(select(tables.audit_indexed.c.sequence))).scalar_one()
    upto = min(upto, after + PAGE)
    span = (_events.c.sequence > after, _events.c.sequence <= upto, _events.c.kind == chain.OUTCOME)
    found = joined(wanted).where(_found.c.entry_id.in_(select(_events.c.entry_id).where(*span)))
    rows = (await connection.execute(found.order_by(_found.c.outcome_sequence))).all()
    return [*map(_entry, rows)], max(upto, after)


async def events(
    connection: AsyncConnection, wanted: EntryFilter, after: int, store_id: str
) -> tuple[list[dict[str, Any]], int | None]:
    """A page of the raw chain within the filter's span, and where to go on."""
    query = select(_events).where(_events.c.sequence > after, *_span(_events.c.time, wanted))
    rows = (await connection.execute(query.order_by(_events.c.sequence).limit(PAGE))).all()
    if not rows:
        return [], None
    first = rows[0].sequence
    previous = (await connection.execute(select(_events.c.hash).where(_events.c.sequence == first - 1))).scalar() or (
        await read_base(connection, store_id)
    ).hash
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
    return page, rows[-1].sequence if len(rows) == PAGE else None


def _bytes(value: object) -> bytes:
    """A column's bytes, even where somebody turned them into something else: the evidence shows it as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


def joined(wanted: EntryFilter) -> Select[Any]:
    """Entries by what they are found by, with what the chain says of each."""
    query = (
        select(
            _found.c.sequence,
            _intents.c.canonical,
            _intents.c.hash,
            _found.c.outcome_sequence,
            _outcomes.c.canonical.label("outcome_canonical"),
            _outcomes.c.hash.label("outcome_hash"),
        )
        .join_from(_found, _intents, _intents.c.sequence == _found.c.sequence)
        .join(_outcomes, _outcomes.c.sequence == _found.c.outcome_sequence, isouter=True)
        .where(*_span(_found.c.time, wanted))
    )
    for column in ("org", "principal", "tool", "action", "object", "outcome"):
        value = getattr(wanted, column)
        if value is not None:
            query = query.where(_found.c[column] == index.folded(value))
    if wanted.record_id is not None:
        touched = tables.audit_touched
        query = query.join(touched, touched.c.sequence == _found.c.sequence)
        query = query.where(touched.c.record_id == wanted.record_id)
    return query


async def _near(connection: AsyncConnection, wanted: EntryFilter) -> list[ColumnElement[bool]]:
    """Where the entries of a span of time are: a walk back from the end would pass all that are later, one by one.

    Times are those of a clock that may have been set back, so they need not stand in the order of the sequence.
    """
    if wanted.since is None and wanted.until is None:
        return []
    within = _span(_found.c.time, wanted)
    if await _few(connection, within):
        other = tables.audit_entries.alias("within")
        return [_found.c.sequence.in_(select(other.c.sequence).where(*_span(other.c.time, wanted)))]
    if wanted.until is None or await _few(connection, [_found.c.time >= to_microseconds(wanted.until)]):
        return []
    last = select(func.max(_found.c.sequence + 0)).where(*within)  # + 0: by the index of times, not by walking back
    return [_found.c.sequence <= (await connection.execute(last)).scalar_one()]


async def _few(connection: AsyncConnection, conditions: list[ColumnElement[bool]]) -> bool:
    some = select(_found.c.sequence).where(*conditions).limit(FEW).subquery()
    return bool((await connection.execute(select(func.count()).select_from(some))).scalar_one() < FEW)


def _span(time: ColumnElement[int], wanted: EntryFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.since is not None:
        conditions.append(time >= to_microseconds(wanted.since))
    if wanted.until is not None:
        conditions.append(time < to_microseconds(wanted.until))
    return conditions


UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading an entry raises whose bytes were edited."""


def unreadable(sequence: int) -> AuditBroken:
    """The error of an entry whose bytes were edited so that they say nothing any more."""
    return AuditBroken(
        f"entry {sequence} cannot be read: it or its outcome was edited",
        hint="orgserver audit verify names the first that was; audit export --format events takes them out as they are",
    )


def _entry(row: Row[Any]) -> AuditEntry:
    try:
        return _read(row)
    except UNREADABLE as error:
        raise unreadable(row.sequence) from error


def _read(row: Row[Any]) -> AuditEntry:
    intent = json.loads(row.canonical)
    outcome = json.loads(row.outcome_canonical) if row.outcome_canonical else {}
    acted_on = tuple(intent.get("record_ids", ()))
    returned = tuple(outcome.get("record_ids", ()))
    duration = outcome.get("duration_us")
    return AuditEntry(
        id=intent["id"],
        sequence=row.sequence,
        time=to_datetime(chain.microseconds_of(intent["time"])),
        duration_ms=duration / 1_000 if duration is not None else None,
        principal=intent["principal"],
        client=intent.get("client"),
        transport=intent["transport"],
        request_id=intent.get("request_id"),
        label=intent.get("label"),
        org=intent.get("org"),
        org_id=intent.get("org_id"),
        tool=intent.get("tool"),
        action=intent["action"],
        object=intent.get("object"),
        record_ids=tuple(dict.fromkeys((*acted_on, *returned)))[:MAX_RECORD_IDS],
        fields=tuple(intent.get("fields", ())),
        row_count=outcome.get("row_count"),
        outcome=Outcome(outcome.get("outcome", Outcome.PENDING.value)),
        error_code=outcome.get("error_code"),
        http_status=outcome.get("http_status"),
        api_calls=outcome.get("api_calls"),
        attempts=outcome.get("attempts"),
        salesforce_request_id=outcome.get("salesforce_request_id"),
        undoes=intent.get("undoes"),
        hash=row.hash.hex(),
        outcome_sequence=row.outcome_sequence,
        outcome_hash=row.outcome_hash.hex() if row.outcome_hash else None,
        soql=intent.get("soql"),
        process=intent.get("process"),
    )

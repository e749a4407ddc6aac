"""How the audit log is read: entries joined from their events, filtered in SQL, a page at a time; and checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import AuditEntry, EntryFilter, Outcome
from orgserver.model.errors import AuditBroken
from orgserver.store import chain, tables

PAGE = 500
_intents = tables.audit_events.alias("intents")
_outcomes = tables.audit_events.alias("outcomes")
_events = tables.audit_events


async def newest(connection: AsyncConnection, wanted: EntryFilter, limit: int) -> list[AuditEntry]:
    """The latest entries, newest first."""
    found: list[AuditEntry] = []
    before: int | None = None
    while len(found) < limit:
        query = _joined(wanted).order_by(_intents.c.sequence.desc()).limit(PAGE)
        if before is not None:
            query = query.where(_intents.c.sequence < before)
        rows = (await connection.execute(query)).all()
        found += [entry for entry in map(_entry, rows) if _named(entry, wanted)]
        if len(rows) < PAGE:
            break
        before = rows[-1].sequence
    return found[:limit]


async def entries(connection: AsyncConnection, wanted: EntryFilter, after: int) -> tuple[list[AuditEntry], int | None]:
    """A page of entries in their order, and where to go on; None at the end."""
    query = _joined(wanted).where(_intents.c.sequence > after).order_by(_intents.c.sequence).limit(PAGE)
    rows = (await connection.execute(query)).all()
    found = [entry for entry in map(_entry, rows) if _named(entry, wanted)]
    return found, rows[-1].sequence if len(rows) == PAGE else None


async def entry(connection: AsyncConnection, id_: str) -> AuditEntry | None:
    """One entry."""
    row = (await connection.execute(_joined(EntryFilter()).where(_intents.c.entry_id == id_))).first()
    return _entry(row) if row is not None else None


async def events(
    connection: AsyncConnection, wanted: EntryFilter, after: int, store_id: str
) -> tuple[list[dict[str, Any]], int | None]:
    """A page of the raw chain within the filter's span, and where to go on."""
    query = select(_events).where(_events.c.sequence > after, *_span(_events.c.time, wanted))
    rows = (await connection.execute(query.order_by(_events.c.sequence).limit(PAGE))).all()
    if not rows:
        return [], None
    first = rows[0].sequence
    previous = (
        await connection.execute(select(_events.c.hash).where(_events.c.sequence == first - 1))
    ).scalar() or chain.genesis(store_id)
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


@dataclass(slots=True)
class Verification:
    """How far a verification has come, and the first thing it found wrong."""

    store_id: str
    genuine: Callable[[bytes, bytes], bool]
    sequence: int = 0
    hash: bytes = b""
    intents: int = 0
    first_bad: int | None = None
    problem: str | None = None

    def __post_init__(self) -> None:
        self.hash = chain.genesis(self.store_id)

    def fail(self, sequence: int, problem: str) -> None:
        """Keep the first thing that is wrong."""
        if self.problem is None:
            self.first_bad, self.problem = sequence, problem


async def check_page(connection: AsyncConnection, state: Verification) -> int | None:
    """Check the next page of the chain; None at its end."""
    query = select(_events).where(_events.c.sequence > state.sequence).order_by(_events.c.sequence).limit(PAGE)
    rows = (await connection.execute(query)).all()
    for row in rows:
        _check(row, state)
        if state.problem is not None:
            return None
    return state.sequence if len(rows) == PAGE else None


async def check_head(
    connection: AsyncConnection, state: Verification, open_head: Callable[[bytes], tuple[int, bytes]]
) -> None:
    """Compare the sealed head with where the chain ended; entries may have been added meanwhile."""
    row = (await connection.execute(select(tables.audit_head))).first()
    if row is None:
        state.fail(state.sequence + 1, "the head of the chain is gone")
        return
    try:
        sequence, hash_ = open_head(row.sealed)
    except AuditBroken as error:
        state.fail(state.sequence, str(error))
        return
    if (sequence, hash_) != (row.sequence, row.hash):
        state.fail(state.sequence, "the head of the chain was changed")
        return
    at_head = select(_events.c.hash).where(_events.c.sequence == sequence)
    last = (await connection.execute(at_head)).scalar() if sequence else chain.genesis(state.store_id)
    if last is None or sequence < state.sequence:
        state.fail(min(sequence, state.sequence) + 1, "the end of the chain was cut off or forged")
    elif last != hash_ or (sequence == state.sequence and state.hash != hash_):
        state.fail(sequence, "the last entry is not the one the sealed head names")


def _check(row: Row[Any], state: Verification) -> None:
    expected = state.sequence + 1
    if row.sequence != expected:
        state.fail(expected, f"entry {expected} was removed")
        return
    if not all(isinstance(value, bytes) for value in (row.canonical, row.hash, row.mac)):
        state.fail(row.sequence, f"entry {row.sequence} was edited")  # SQLite keeps any type in any column
        return
    if chain.link(state.hash, row.sequence, row.canonical) != row.hash:
        state.fail(row.sequence, f"entry {row.sequence} was edited, inserted or reordered")
        return
    if not state.genuine(row.hash, row.mac):
        state.fail(row.sequence, f"entry {row.sequence} was not written by this store")
        return
    if not _columns_agree(row):
        state.fail(row.sequence, f"the searchable columns of entry {row.sequence} were edited")
        return
    state.sequence, state.hash = row.sequence, row.hash
    state.intents += row.kind == chain.INTENT


def _columns_agree(row: Row[Any]) -> bool:
    try:
        event = json.loads(row.canonical)
    except ValueError:
        return False
    told = (event.get("id"), event.get("kind"), event.get("time"))
    kept = (row.entry_id, row.kind, chain.time_text(row.time))
    names = ("principal", "org", "tool", "action", "object", "outcome")
    return told == kept and all(event.get(name) == getattr(row, name) for name in names)


def _bytes(value: object) -> bytes:
    """A column's bytes, even where somebody turned them into something else: the evidence shows it as it is."""
    return value if isinstance(value, bytes) else str(value).encode()


def _joined(wanted: EntryFilter) -> Select[Any]:
    same = and_(_outcomes.c.entry_id == _intents.c.entry_id, _outcomes.c.kind == chain.OUTCOME)
    query = (
        select(
            _intents.c.sequence,
            _intents.c.canonical,
            _intents.c.hash,
            _outcomes.c.sequence.label("outcome_sequence"),
            _outcomes.c.canonical.label("outcome_canonical"),
            _outcomes.c.hash.label("outcome_hash"),
        )
        .join_from(_intents, _outcomes, same, isouter=True)
        .where(_intents.c.kind == chain.INTENT, *_span(_intents.c.time, wanted))
    )
    for column in ("org", "principal", "tool", "action", "object"):
        value = getattr(wanted, column)
        if value is not None:
            query = query.where(func.lower(_intents.c[column]) == value.lower())
    if wanted.outcome == Outcome.PENDING.value:
        return query.where(_outcomes.c.sequence.is_(None))
    if wanted.outcome is not None:
        return query.where(_outcomes.c.outcome == wanted.outcome)
    return query


def _span(time: ColumnElement[int], wanted: EntryFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.since is not None:
        conditions.append(time >= chain.instant(wanted.since))
    if wanted.until is not None:
        conditions.append(time < chain.instant(wanted.until))
    return conditions


def _named(entry: AuditEntry, wanted: EntryFilter) -> bool:
    return wanted.record_id is None or wanted.record_id in entry.record_ids


def _entry(row: Row[Any]) -> AuditEntry:
    intent = json.loads(row.canonical)
    outcome = json.loads(row.outcome_canonical) if row.outcome_canonical else {}
    acted_on = tuple(intent.get("record_ids", ()))
    returned = tuple(outcome.get("record_ids", ()))
    duration = outcome.get("duration_us")
    return AuditEntry(
        id=intent["id"],
        sequence=row.sequence,
        time=chain.when(chain.microseconds_of(intent["time"])),
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
        record_ids=tuple(dict.fromkeys((*acted_on, *returned)))[:200],
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
    )

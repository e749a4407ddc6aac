"""The results of a large change as the chain keeps them: in parts, so that 100,000 records cost some tens of events.

A part is an event of kind ``part-00001`` and so on; entry and kind are unique together, so each number is there once.
``rows`` has a letter for each record from index ``first`` on: ``S`` succeeded, ``F`` failed, ``U`` unknown, in lower
case where no id is known. ``record_ids`` are the ids of the others in their order, and after them ids that belong to no
row; ``errors`` are the offsets of rows by their error code. No message and no value is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.bulk import Counts, RecordResult, ResultBatch, State
from orgserver.store import tables
from orgserver.store.audit import chain

ROWS = 2_000
"""Records in one part."""
_LETTERS: dict[State, str] = {"succeeded": "S", "failed": "F", "unknown": "U"}
_STATES: dict[str, State] = {letter: state for state, letter in _LETTERS.items()}
_PART = "part-"
_LAST_PART = f"{_PART}99999"
"""The kind of the last part an entry can have: between the first and this one lies every part, in its order."""
_events = tables.audit_events


def split_batch(part: ResultBatch) -> Iterator[ResultBatch]:
    """The same in parts that are small enough."""
    for start in range(0, len(part.results), ROWS):
        last = start + ROWS >= len(part.results)
        yield ResultBatch(part.first + start, part.results[start : start + ROWS], part.strays if last else ())


def build_event(entry_id: str, number: int, part: ResultBatch, now: int) -> dict[str, Any]:
    """The event of a part."""
    errors: dict[str, list[int]] = {}
    for offset, result in enumerate(part.results):
        if result.code is not None:
            errors.setdefault(result.code, []).append(offset)
    letters = (_LETTERS[each.state] if each.id is not None else _LETTERS[each.state].lower() for each in part.results)
    return {
        "v": 1,
        "kind": _part_kind(number),
        "id": entry_id,
        "time": chain.time_text(now),
        "first": part.first,
        "rows": "".join(letters),
        "record_ids": (*(each.id for each in part.results if each.id is not None), *part.strays),
        "errors": errors or None,
    }


def read_batch(canonical: bytes) -> ResultBatch:
    """The part that an event says."""
    event = json.loads(canonical)
    codes = {offset: code for code, offsets in event.get("errors", {}).items() for offset in offsets}
    ids = iter(event.get("record_ids", ()))
    results = [
        RecordResult(_STATES[letter.upper()], next(ids) if letter.isupper() else None, codes.get(offset))
        for offset, letter in enumerate(event.get("rows", ""))
    ]
    return ResultBatch(event["first"], results, tuple(ids))


async def load_next(connection: AsyncConnection, entry_id: str, after: int = 0) -> tuple[int, ResultBatch] | None:
    """The next part of an entry behind number ``after``, with its number."""
    span = _events.c.kind.between(_part_kind(after + 1), _LAST_PART)
    query = select(_events.c.kind, _events.c.canonical).where(_events.c.entry_id == entry_id, span)
    row = (await connection.execute(query.order_by(_events.c.kind).limit(1))).first()
    return (int(row.kind.rpartition("-")[2]), read_batch(row.canonical)) if row is not None else None


async def count_results(connection: AsyncConnection, entry_id: str) -> tuple[Counts, int]:
    """The counts of an entry's parts, and how many parts there are."""
    counts, number = Counts(), 0
    while (part := await load_next(connection, entry_id, number)) is not None:
        number, batch = part
        counts.count(batch.results)
    return counts, number


def find_first(connection: Connection, after: int, upto: int) -> int | None:
    """The first event of a span that is a part."""
    span = (_events.c.sequence > after, _events.c.sequence <= upto)
    kind = _events.c.kind.between(_part_kind(0), _LAST_PART)
    query = select(_events.c.sequence).where(*span, kind).order_by(_events.c.sequence).limit(1)
    return connection.execute(query).scalar()


def _part_kind(number: int) -> str:
    """The kind of an entry's part with this number: results of some of the many records that it changed."""
    return f"{_PART}{number:05}"

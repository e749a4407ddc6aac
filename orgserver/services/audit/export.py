"""How entries leave the audit log: a page at a time, rendered in a thread straight from their canonical bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from orgserver.model.audit import ENTRY_FIELDS, MAX_RECORD_IDS, EntryFilter
from orgserver.services.audit import ocsf
from orgserver.store import tables
from orgserver.store.audit import reader
from orgserver.store.session import Store

PAGE = 5_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
Render = Callable[[dict[str, Any]], str]
T = TypeVar("T")
Shape = Callable[[Iterator[dict[str, Any]]], T]


async def pages(store: Store, wanted: EntryFilter, format_: str) -> AsyncIterator[list[str]]:
    """The lines of an export in jsonl, csv or ocsf, oldest entry first, a page at a time."""
    render = RENDER[format_]
    async for page in shaped(store, wanted, lambda entries: [render(entry) for entry in entries]):
        yield page


async def shaped(store: Store, wanted: EntryFilter, shape: Shape[T]) -> AsyncIterator[T]:
    """Pages of entries as ``shape`` makes them, in the thread that reads; a short read transaction for each page."""
    await store.audit.catch_up()
    after: int | None = 0
    while after is not None:
        page, after = await store.database.scan(partial(_page, wanted=wanted, after=after, shape=shape))
        if page is not None:
            yield page


def _page(connection: Connection, wanted: EntryFilter, after: int, shape: Shape[T]) -> tuple[T | None, int | None]:
    sequence = tables.audit_entries.c.sequence
    query = reader.joined(wanted).where(sequence > after).order_by(sequence).limit(PAGE)
    with connection.begin():
        rows = connection.execute(query).all()
    page = shape(_each(rows)) if rows else None
    return page, rows[-1][0] if len(rows) == PAGE else None


def _each(rows: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for row in rows:
        try:
            entry = public(*row)
        except reader.UNREADABLE as error:
            raise reader.unreadable(row[0]) from error
        yield entry


def public(
    sequence: int,
    canonical: bytes,
    hash_: bytes,
    outcome_sequence: int | None,
    outcome_canonical: bytes | None,
    outcome_hash: bytes | None,
) -> dict[str, Any]:
    """The public fields of an entry in their order, from its row."""
    intent = json.loads(canonical)
    outcome = json.loads(outcome_canonical) if outcome_canonical else {}
    said, told = intent.get, outcome.get
    ids = said("record_ids", [])
    returned = told("record_ids")
    if returned:
        ids = list(dict.fromkeys((*ids, *returned)))
    duration = told("duration_us")
    return {
        "id": intent["id"],
        "sequence": sequence,
        "time": intent["time"],
        "duration_ms": duration / 1_000 if duration is not None else None,
        "principal": intent["principal"],
        "client": said("client"),
        "transport": intent["transport"],
        "request_id": said("request_id"),
        "label": said("label"),
        "org": said("org"),
        "org_id": said("org_id"),
        "tool": said("tool"),
        "action": intent["action"],
        "object": said("object"),
        "record_ids": ids[:MAX_RECORD_IDS],
        "fields": said("fields", []),
        "row_count": told("row_count"),
        "outcome": told("outcome", "pending"),
        "error_code": told("error_code"),
        "http_status": told("http_status"),
        "api_calls": told("api_calls"),
        "attempts": told("attempts"),
        "salesforce_request_id": told("salesforce_request_id"),
        "undoes": said("undoes"),
        "hash": hash_.hex(),
        "outcome_sequence": outcome_sequence,
        "outcome_hash": outcome_hash.hex() if outcome_hash else None,
    }


def event_line(event: dict[str, Any]) -> str:
    """An event of the evidence as one line of JSON."""
    return _dumps(event)


def csv_header() -> str:
    """The first line of a CSV export."""
    return _csv_line(list(ENTRY_FIELDS))


def _csv(entry: dict[str, Any]) -> str:
    """A line of CSV that no spreadsheet takes for a formula."""
    return _csv_line([_cell(value) for value in entry.values()])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = " ".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().rstrip("\n")


RENDER: dict[str, Render] = {
    "jsonl": _dumps,
    "csv": _csv,
    "ocsf": lambda entry: _dumps(ocsf.event(entry)),
}
"""The formats that have a line for each entry."""

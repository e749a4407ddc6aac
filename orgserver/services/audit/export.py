"""How entries leave the audit log: a page at a time, rendered in a thread straight from their canonical bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from orgserver.model.audit import ENTRY_FIELDS, EntryFilter
from orgserver.services.audit import ocsf
from orgserver.store import tables
from orgserver.store.audit import reader
from orgserver.store.audit.entries import read_fields
from orgserver.store.session import Store

PAGE = 5_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
Render = Callable[[dict[str, Any]], str]
T = TypeVar("T")
Shape = Callable[[Iterator[dict[str, Any]]], T]


async def render_pages(store: Store, criteria: EntryFilter, format_: str) -> AsyncIterator[list[str]]:
    """The lines of an export in jsonl, csv or ocsf, oldest entry first, a page at a time."""
    render = RENDER[format_]
    async for page in read_pages(store, criteria, lambda entries: [render(entry) for entry in entries]):
        yield page


async def read_pages(store: Store, criteria: EntryFilter, shape: Shape[T]) -> AsyncIterator[T]:
    """Pages of entries as ``shape`` makes them, in the thread that reads; a short read transaction for each page."""
    await store.audit.catch_up()
    after: int | None = 0
    while after is not None:
        page, after = await store.database.scan(partial(_read_page, criteria=criteria, after=after, shape=shape))
        if page is not None:
            yield page


def _read_page(
    connection: Connection, criteria: EntryFilter, after: int, shape: Shape[T]
) -> tuple[T | None, int | None]:
    sequence = tables.audit_entries.c.sequence
    query = reader.select_entries(criteria).where(sequence > after).order_by(sequence).limit(PAGE)
    with connection.begin():
        rows = connection.execute(query).all()
    page = shape(map(read_fields, rows)) if rows else None
    return page, rows[-1][0] if len(rows) == PAGE else None


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
    parts = value.values() if isinstance(value, dict) else value
    text = " ".join(parts) if isinstance(value, list | dict) else str(value)
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

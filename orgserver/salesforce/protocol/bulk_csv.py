"""The CSV of bulk jobs, as the Bulk API 2.0 Developer Guide has it: UTF-8, LF, an empty cell means nothing is changed.

Cells are quoted, all of them, so that line ends, quotes and commas are only text. Formulas need no care here: nobody
opens these sheets in a spreadsheet, and a changed value would be a wrong value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NULL = "#N/A"
"""In a cell of an ingest job: empty the field."""
MAX_CELLS = 1_000_000
"""Commas in one row: it may have 800 cells, and long texts with many commas in some of them."""


def cell(value: Any) -> str:
    """A field value as a cell; an empty text empties the field, as it does in JSON."""
    if value is None or value == "":
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def cell_rows(header: Sequence[str], records: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """The cells of each record in the order of a header; empty where a record has no such field."""
    for record in records:
        yield tuple(cell(record[name]) if name in record else "" for name in header)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Some rows for one job."""

    content: bytes
    first: int
    rows: list[tuple[str, ...]]


def write_sheets(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, max_bytes: int, max_rows: int
) -> Iterator[Sheet]:
    """Write rows as sheets of bounded size, each with the header; UnicodeEncodeError for half a surrogate pair."""
    head = _line(header)
    content, first = bytearray(head), 0
    chunk: list[tuple[str, ...]] = []
    for row in rows:
        line = _line(row)
        if chunk and (len(content) + len(line) > max_bytes or len(chunk) == max_rows):
            yield Sheet(bytes(content), first, chunk)
            content, first, chunk = bytearray(head), first + len(chunk), []
        content += line
        chunk.append(tuple(row))
    if chunk:
        yield Sheet(bytes(content), first, chunk)


def _line(cells: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


class _Lines:
    """Lines of a sheet; ValueError where those of one row hold more cells than any row can."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.cells = 0
        """Since the last row, commas within texts among them."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.cells += line.count(",")
        if self.cells > MAX_CELLS:
            raise ValueError("a row has more cells than an object has fields")
        return line


def read_rows(content: bytes) -> Iterator[dict[str, str]]:
    """The rows of a sheet, one at a time, by column names in lower case; ValueError for what is no CSV.

    The longest text area holds as many characters as the reader takes in a cell: 131,072.
    """
    try:
        with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="") as lines:
            counter = _Lines(lines)
            reader = csv.reader(counter, strict=True)
            names = [name.lower() for name in next(reader, [])]
            for row in reader:
                counter.cells = 0
                if row:
                    yield dict(zip(names, row, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from None

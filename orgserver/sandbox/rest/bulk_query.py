"""A bulk job that reads records: its rows, handed out in pages of CSV."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orgserver.sandbox.answers import Answer
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.java_numbers import double
from orgserver.sandbox.query.execution import Runner
from orgserver.sandbox.rest.bulk_csv import Dialect
from orgserver.sandbox.state.bulk_jobs import Job

_PAGE = 50_000
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"\(\s*SELECT\b|\bTYPEOF\b|\b(COUNT|COUNT_DISTINCT|SUM|AVG|MIN|MAX)\s*\(", re.IGNORECASE)
_NOT_ANYWHERE = re.compile(r"\bGROUP\s+BY\b|\bOFFSET\b", re.IGNORECASE)


@dataclass(slots=True)
class QueryJob(Job):
    """One such job."""

    runner: Runner = field(kw_only=True, repr=False)
    dialect: Dialect = field(kw_only=True)
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list, repr=False)

    def work(self) -> Iterator[None]:
        """Read a record at each step."""
        row = self.runner.projection()
        for record in self.runner.rows():
            cells = row(record, self.version)
            self.rows.append([_cell(_value(cells, path)) for path in self.header])
            self.processed += 1
            yield

    def page(self, locator: str, most: str) -> Answer:
        """Some rows, and where the next ones are."""
        try:
            start = int(b64decode(locator, validate=True)) if locator else 0
            size = int(most) if most else _PAGE
        except (binascii.Error, ValueError):
            start, size = -1, 0
        if start < 0 or size < 1 or (start and start >= len(self.rows)):
            raise Refusal(400, "INVALID_QUERY_LOCATOR", "invalid locator or maxRecords")
        rows = self.rows[start : start + size]
        end = start + len(rows)
        answer = Answer.text(200, self.dialect.write([self.header, *rows]), "text/csv")
        following = b64encode(str(end).encode()).decode().rstrip("\n") if end < len(self.rows) else "null"
        answer.headers = {"sforce-locator": following, "sforce-numberofrecords": str(len(rows))}
        return answer


def check(query: str) -> None:
    """Refuse what bulk queries cannot do."""
    bare = _TEXT.sub("''", query)
    select_list = _FROM.split(bare, maxsplit=1)[0]
    if _NOT_SHOWN.search(select_list) or _NOT_ANYWHERE.search(bare):
        text = "InvalidJob : aggregates, GROUP BY, OFFSET, TYPEOF and nested queries are not supported by the Bulk API"
        raise Refusal(400, "INVALIDJOB", text)


def header(columns: list[dict[str, Any]], prefix: str = "") -> list[str]:
    """The names of a sheet's columns, from what a query tells of them."""
    names: list[str] = []
    for column in columns:
        name = prefix + column["columnName"]
        names += header(column["joinColumns"], f"{name}.") if column["joinColumns"] else [name]
    return names


def _value(row: dict[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = double(value) if isinstance(value, float) else str(value)
    return text.replace(".000+0000", ".000Z") if text.endswith(".000+0000") else text

"""Rows of subqueries that a page cuts short: told, for their rest cannot be asked for by a cursor.

The rows of children count towards the page, so that some of a record's may be missing (REST guide
``headers_queryoptions``); Salesforce then says so in the record, with an address that nobody may follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orgserver.model.names import is_field
from orgserver.model.results import FieldValues

_ADDRESS = "nextRecordsUrl"
_SHOWN = 5


def warnings(records: Iterable[FieldValues]) -> tuple[str, ...]:
    """A sentence that names the relationships whose rows are not all there; the addresses of the rest are taken out."""
    names: dict[str, None] = {}
    for record in records:
        for name, value in record.items():  # few records have anything inside of them, so nothing is called for each
            if isinstance(value, dict):
                _look_inside(name, value, names)
    if not names:
        return ()
    shown = ", ".join(list(names)[:_SHOWN])
    return (f"not all rows of {shown} are here where done is false: query that object by itself, by its parent's id",)


def _look(record: FieldValues, names: dict[str, None]) -> None:
    for name, value in record.items():
        if isinstance(value, dict):
            _look_inside(name, value, names)


def _look_inside(name: str, value: dict[str, Any], names: dict[str, None]) -> None:
    rows = value.get("records")
    if not isinstance(rows, list) or "done" not in value:
        return _look(value, names)
    value.pop(_ADDRESS, None)
    if value["done"] is not True and is_field(name):
        names[name] = None
    for row in rows:
        if isinstance(row, dict):
            _look(row, names)
    return None

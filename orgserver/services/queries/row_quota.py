"""How many rows one query may still give, over all of its pages, where a policy limits them.

Each record is a row, each group of a query with GROUP BY, and each record of a subquery. A count is none, so what it
tells is not limited.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from orgserver.model.errors import InvalidArgument
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import messages
from orgserver.salesforce.soql import RowQuery
from orgserver.services.results.cursors import Position

_NO_LIMIT = sys.maxsize


class RowQuota(msgspec.Struct, frozen=True):
    """The rows that a policy leaves for one page."""

    row_limit: int
    """Of the whole result."""
    before: int
    """How many rows the pages before this one gave."""

    @classmethod
    def at(cls, row_limit: int | None, position: Position) -> RowQuota:
        """What is left at a position of a result; InvalidArgument where a cursor of before does not say it."""
        if row_limit is not None and position.row_count is None and not position.begins:
            raise InvalidArgument(
                "cursor does not say how many rows were given, and this org limits them",
                fields=["cursor"],
                hint="start again without a cursor",
            )
        return cls(_NO_LIMIT if row_limit is None else row_limit, position.row_count or 0)

    @property
    def left(self) -> int:
        """How many rows may still be given."""
        return max(self.row_limit - self.before, 0)

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return self.row_limit < _NO_LIMIT

    @property
    def warning(self) -> str:
        """What a page says with which the limit ends a result that has more."""
        return warning(self.row_limit)

    def cut_query(self, rows: RowQuery | None) -> RowQuery | None:
        """A query that asks for no more rows than may be given, and one, which tells that there are more."""
        most = self.row_limit + 1
        if rows is None or not self.is_limited or (rows.limit is not None and rows.limit <= most):
            return rows
        return msgspec.structs.replace(rows, limit=most)

    def take(self, records: list[FieldValues], *, is_flat: bool = False) -> tuple[list[FieldValues], int, bool]:
        """As many of some records as may be given, how many rows they are, and whether anything was left out.

        ``is_flat``: it is known that nothing is inside of any of them.
        """
        left, is_cut = self.left, False
        if len(records) <= left and (is_flat or messages.is_flat(records)):
            return records, len(records), False
        for place, record in enumerate(records):
            if left == 0:
                return records[:place], self.left, True
            left, record_is_cut = _take_children(record, left - 1)
            is_cut = is_cut or record_is_cut
        return records, self.left - left, is_cut


def warning(row_limit: int) -> str:
    """What a result says that the limit ends though there is more."""
    rows = f"{row_limit:,} row{'s' if row_limit != 1 else ''}"
    return f"this is where it ends: the org's policy lets one query give {rows}; narrow it, or ask for a count"


def _take_children(record: FieldValues, left: int) -> tuple[int, bool]:
    """Take the rows of a record's subqueries, as many as are left; what is left then, and whether some were cut."""
    is_cut = False
    for value in record.values():
        if isinstance(value, dict):
            left, child_is_cut = _take_rows(value, left)
            is_cut = is_cut or child_is_cut
    return left, is_cut


def _take_rows(value: dict[str, Any], left: int) -> tuple[int, bool]:
    rows, is_cut = value.get("records"), False
    if not isinstance(rows, list) or "done" not in value:
        return _take_children(value, left)
    for place, row in enumerate(rows):
        if left == 0:
            value["records"], value["done"] = rows[:place], False
            return 0, True
        left -= 1
        if isinstance(row, dict):
            left, row_is_cut = _take_children(row, left)
            is_cut = is_cut or row_is_cut
    return left, is_cut

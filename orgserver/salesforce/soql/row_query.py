"""A query of rows, in a total order and cut short: so that a page costs what it shows, and no two pages overlap.

Salesforce guarantees no order without ORDER BY, and none among equals (SOQL and SOSL Reference,
``sforce_api_calls_soql_select_orderby``). With ``Id`` as the last term each row has its one place.
"""

from __future__ import annotations

import re

import msgspec

from orgserver.salesforce.soql import tree

MAX_LENGTH = 100_000
"""Salesforce: "SOQL statements can not be longer than 100000 characters"."""
_ROOM_FOR_LIMIT = 20
_FIELDS_LIMIT = 200
"""FIELDS(ALL) and FIELDS(CUSTOM) need a LIMIT, and this is the largest."""
_PLACE = re.compile(r"ERROR at Row:(\d{1,9}):Column:(\d{1,9})")


class RowQuery(msgspec.Struct, frozen=True):
    """A query of rows whose order is total."""

    ordered: str
    """As far as its ORDER BY, which is the last of it."""
    count: str
    """Its rows counted, without its LIMIT and OFFSET."""
    limit: int | None = None
    """Its own LIMIT."""
    offset: int = 0
    tail: str = ""
    """Its own OFFSET clause."""
    changed_at: int = 0
    """Where the text differs from the one as it was written."""

    @property
    def whole(self) -> str:
        """All of its rows."""
        return self._with_limit(self.limit)

    def first(self, rows: int) -> str:
        """No more than its first rows."""
        return self._with_limit(rows if self.limit is None else min(self.limit, rows))

    def total(self, count: int) -> int:
        """How many rows the whole result has, of so many that its conditions let through."""
        rest = max(count - self.offset, 0)
        return rest if self.limit is None else min(rest, self.limit)

    def is_to_blame(self, message: str) -> bool | None:
        """Tell whether a refusal is about what was added here, by the place that it names; None where it names none."""
        place = _PLACE.search(message)
        if place is None:
            return None
        lines = self.ordered.split("\n")
        row, column = int(place[1]) - 1, int(place[2]) - 1
        return sum(len(line) + 1 for line in lines[:row]) + column >= self.changed_at

    def _with_limit(self, limit: int | None) -> str:
        return f"{self.ordered}{f' LIMIT {limit}' if limit is not None else ''}{self.tail}"


def row_query(query: tree.Query, text: str) -> RowQuery | None:
    """The same query in a total order; None for what runs as it is written, because it sums up or has no room."""
    if query.count or query.aggregated or _needs_its_limit(query):
        return None
    at = query.clauses
    head = text[: at.limit].rstrip()
    changed_at = len(head)
    if not query.order:
        head += " ORDER BY Id"
    elif not any(_is_id(query, term.by) for term in query.order):
        head += ", Id"
    tail = text[at.offset :].strip()
    count = f"SELECT COUNT() FROM {text[query.position : at.order].rstrip()}"  # noqa: S608  # of what was understood
    query_of_rows = RowQuery(head, count, query.limit, query.offset, f" {tail}" if tail else "", changed_at)
    return query_of_rows if len(query_of_rows.whole) <= MAX_LENGTH - _ROOM_FOR_LIMIT else None


def _is_id(query: tree.Query, expression: tree.Expression) -> bool:
    return isinstance(expression, tree.Path) and tree.own(query, expression.path).lower() == "id"


def _needs_its_limit(query: tree.Query) -> bool:
    """Whether another LIMIT would change what Salesforce says: FIELDS() is refused without a small one."""
    groups = {item.group for item in query.selected if isinstance(item, tree.Fields)}
    return bool(groups - {"standard"}) and (query.limit is None or query.limit > _FIELDS_LIMIT)

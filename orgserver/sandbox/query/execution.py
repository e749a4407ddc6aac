"""How a query is answered from an org's records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from orgserver.salesforce.soql import grammar, tree
from orgserver.salesforce.soql.tokens import SoqlError
from orgserver.sandbox.errors import Refusal, framed
from orgserver.sandbox.query import column_metadata
from orgserver.sandbox.query.aggregates import Grouping
from orgserver.sandbox.query.scan import ChildPage, Context, Scan, whole_page
from orgserver.sandbox.query.select_list import Selection
from orgserver.sandbox.state.records import Record, Records
from orgserver.sandbox.state.schema import Field

_MAX_LENGTH = 100_000
_SHORT_TEXT = 255


class Runner:
    """Runs one query; Refusal says what is wrong with it."""

    def __init__(
        self, records: Records, text: str, now: datetime, zone: ZoneInfo, *, deleted: bool, page: ChildPage = whole_page
    ) -> None:
        if len(text) > _MAX_LENGTH:
            raise Refusal(400, "MALFORMED_QUERY", "SOQL statements can not be longer than 100000 characters")
        try:
            self.query = grammar.parse(text)
        except SoqlError as error:
            raise framed("MALFORMED_QUERY", str(error), text, error.position) from None
        context = Context(records, text, now, zone, deleted, page)
        self._scan = Scan(context, self.query, context.sobject(self.query.sobject, self.query.position))
        self._answer = self._understood()
        self._sort = self._scan.sorter() if isinstance(self._answer, Selection) else None

    @property
    def has_offset(self) -> bool:
        """Whether there is an OFFSET clause, of whatever number."""
        return self._scan.context.text[self.query.clauses.offset :].strip() != ""

    def rows(self) -> list[Record]:
        """The records that match, in their order; of a query that sums up, the rows of its answer."""
        if isinstance(self._answer, Grouping):
            return self._answer.rows()
        records = self._scan.matching()
        if self._sort is not None:
            self._sort(records)
        return self._scan.window(records)

    def projection(self) -> Callable[[Record, str], Record]:
        """A function from what rows() gave and an API version to a row of the answer."""
        if not isinstance(self._answer, Selection):
            return lambda row, _version: row
        row, sobject = self._answer.row, self._scan.sobject
        return lambda record, version: row(sobject, record, version)

    def long_texts(self) -> int:
        """How many of the columns are custom long texts."""
        if not isinstance(self._answer, Selection):
            return 0
        parts = (part for part in self._answer.shape.parts.values() if isinstance(part, Field))
        return sum(
            part.type == "textarea" and part.length > _SHORT_TEXT and part.name.endswith("__c") for part in parts
        )

    def columns(self) -> dict[str, Any]:
        """The query's columns, in place of its rows."""
        if isinstance(self._answer, Grouping):
            return column_metadata.summed(self._scan.sobject, self._answer.columns, grouped=bool(self.query.group))
        return column_metadata.described(self._scan.sobject, None if self._answer is None else self._answer.shape)

    def _understood(self) -> Selection | Grouping | None:
        """What makes the answer's rows; None for COUNT(), which has none."""
        query = self.query
        if not query.count:
            return Grouping(self._scan) if query.aggregated else Selection(self._scan)
        if query.group or query.order:
            what: tree.Expression = query.group[0] if query.group else query.order[0].by
            message = "COUNT() can not be used with GROUP BY or ORDER BY; use COUNT(fieldName)"
            raise self._scan.context.refused(message, what.position)
        return None

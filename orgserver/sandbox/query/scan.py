"""How one query, or one within another, goes through the records of its object: WHERE, ORDER BY, LIMIT."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from orgserver.salesforce.soql import tree
from orgserver.sandbox.errors import Refusal, framed
from orgserver.sandbox.query import semi_joins
from orgserver.sandbox.query.field_paths import REFERENCE, Getter, Paths
from orgserver.sandbox.query.filters import Compiler, Filter, Matcher, comparer
from orgserver.sandbox.query.functions import Expressions
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.records import Record, Records
from orgserver.sandbox.state.schema import Field, SObject

_MAX_OFFSET = 2_000
_MAX_ORDER = 32
_IDS = frozenset({"id", "reference"})


ChildPage = Callable[[list[Record], str], Record]
"""From the rows of a subquery and an API version to what is shown of them."""


def whole_page(rows: list[Record], _version: str) -> Record:
    """All rows of a result."""
    return {"totalSize": len(rows), "done": True, "records": rows}


@dataclass(frozen=True, slots=True)
class Context:
    """What all parts of one query share."""

    records: Records
    text: str
    now: datetime
    zone: ZoneInfo
    deleted: bool
    """Whether deleted records are found, too."""
    page: ChildPage = whole_page

    def refused(self, message: str, position: int, code: str = "MALFORMED_QUERY") -> Refusal:
        """A refusal with Salesforce's frame around the place."""
        return framed(code, message, self.text, position)

    def sobject(self, name: str, position: int) -> SObject:
        """The object that a query names."""
        sobject = schema.find(name)
        if sobject is None:
            message = f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure "
            message += f"to append the '__c' after the entity name. {REFERENCE}"
            raise self.refused(message, position, "INVALID_TYPE")
        return sobject

    def table(self, sobject: SObject) -> list[Record]:
        """All records of an object."""
        records = list(self.records.tables[sobject.name].values())
        return records + list(self.records.deleted[sobject.name].values()) if self.deleted else records


class Scan:
    """One query's way through its object's records; Refusal when it is made says what is wrong with it."""

    def __init__(self, context: Context, query: tree.Query, sobject: SObject) -> None:
        self.context = context
        self.query = query
        self.sobject = sobject
        self.paths = Paths(context.records.tables, context.text, sobject, query.alias)
        self.expressions = Expressions(self.paths, context.text, context.zone)
        if query.offset > _MAX_OFFSET:
            raise Refusal(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        if len(query.order) > _MAX_ORDER:
            message = f"maximum number of fields in ORDER BY is {_MAX_ORDER}"
            raise context.refused(message, query.order[_MAX_ORDER].by.position)
        if query.scope is not None and query.scope.lower() != "everything":
            raise context.refused(f"invalid query scope: {query.scope}", query.position, "INVALID_QUERY_SCOPE")
        semi_joins.allowed(query.where, context.text)
        self._matcher = self._compiled_where()

    def matching(self) -> list[Record]:
        """The records that WHERE lets through."""
        table = self.context.table(self.sobject)
        matches = self._matcher
        return table if matches is None else [record for record in table if matches(record)]

    def window(self, rows: list[Record]) -> list[Record]:
        """What LIMIT and OFFSET leave of an ordered result."""
        end = None if self.query.limit is None else self.query.offset + self.query.limit
        return rows[self.query.offset : end]

    def sorter(self, compiled: Compiler | None = None) -> Callable[[list[Record]], None]:
        """A function that puts rows in the order that ORDER BY asks for."""
        keys = [(self._sort_key(term, compiled or self.expressions.compiled), term) for term in self.query.order]

        def sort(rows: list[Record]) -> None:
            for key, term in reversed(keys):
                rows.sort(key=key, reverse=term.descending)

        return sort

    def filter(self, compiled: Compiler) -> Filter:
        """What turns conditions into functions."""
        return Filter(compiled, self._joined, self.context.text, self.context.now, self.context.zone)

    def _compiled_where(self) -> Matcher | None:
        where = self.query.where
        return None if where is None else self.filter(self.expressions.compiled).matcher(where)

    def _sort_key(self, term: tree.Order, compiled: Compiler) -> Callable[[Record], Any]:
        getter, field = compiled(term.by)
        if not field.sortable:
            raise self.context.refused(f"field '{field.name}' can not be sorted in a query call", term.by.position)
        return _key(getter, field, term)

    def _joined(self, comparison: tree.Comparison, inner: tree.Query, outer: Field) -> frozenset[Any]:
        """The ids that the query behind IN finds."""
        context = self.context
        if outer.type not in _IDS:
            raise semi_joins.not_an_id(comparison.left, context.text, outer=True)
        path = semi_joins.selected(inner, context.text)
        sobject = context.sobject(inner.sobject, inner.position)
        if sobject.name == self.sobject.name:
            raise context.refused(
                "The inner and outer selects should not be on the same object type", comparison.position
            )
        scan = Scan(context, inner, sobject)
        getter, field = scan.expressions.compiled(path)
        if field.type not in _IDS:
            raise semi_joins.not_an_id(path, context.text, outer=False)
        if not _pointed(self.sobject, outer) & _pointed(sobject, field):
            message = f"The selected field '{field.name}' in the subquery and the left operand field in the where "
            message += f"expression in the outer query '{outer.name}' should point to the same object type"
            raise context.refused(message, comparison.position)
        return frozenset(_present(getter(record) for record in scan.matching()))


def _present(values: Iterable[Any]) -> Iterable[Any]:
    return (value for value in values if value is not None)


def _pointed(sobject: SObject, field: Field) -> set[str]:
    """The objects that a field's ids are of."""
    return {sobject.name} if field.type == "id" else set(field.targets)


def _key(getter: Getter, field: Field, term: tree.Order) -> Callable[[Record], Any]:
    # Nulls come first unless NULLS LAST says otherwise, whatever the direction.
    null_rank = (1 if term.nulls_last else -1) * (-1 if term.descending else 1)
    compare = comparer(field)

    def key(record: Record) -> Any:
        value = compare(getter(record))
        return (null_rank, 0) if value is None else (0, value)

    return key

"""Queries that sum records up: COUNT, SUM and their kin, GROUP BY and HAVING."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from orgserver.salesforce.soql import tree
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.query import semi_joins
from orgserver.sandbox.query.field_paths import Getter
from orgserver.sandbox.query.filters import comparer
from orgserver.sandbox.query.scan import Scan
from orgserver.sandbox.state.records import Record
from orgserver.sandbox.state.schema import Field

Sum = Callable[[list[Record]], Any]
_NUMBERS = frozenset({"int", "long", "double", "currency", "percent"})
_MAX_ROWS = 2_000


class Grouping:
    """The rows of one query that sums up; Refusal when it is made says what is wrong with it.

    Within, a group is a record of its own: its values by the expression that each is of.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._sums: dict[str, tuple[Sum, Field]] = {}
        query = scan.query
        if query.subtotals is not None:
            raise scan.context.refused(f"unexpected token: '{query.subtotals.upper()}'", query.group[0].position)
        if not query.group and query.limit is not None:
            message = "Non-grouped query that uses overall aggregate functions cannot also use LIMIT"
            raise scan.context.refused(message, query.position)
        self._keys = [self._key(expression) for expression in query.group]
        self.columns: dict[str, tuple[tree.Expression, Field]] = {}
        """What each column shows, by its name."""
        self._getters: list[tuple[str, Getter]] = []
        self._unnamed = 0
        for item in query.selected:
            self._show(item)
        semi_joins.none(query.having, scan.context.text)
        having = query.having
        self._having = None if having is None else scan.filter(self._compiled).matcher(having)
        self._sort = scan.sorter(self._compiled)

    def rows(self) -> list[Record]:
        """The rows of the answer."""
        groups = [{name: of(records) for name, (of, _) in self._sums.items()} for records in self._grouped()]
        if self._having is not None:
            groups = [group for group in groups if self._having(group)]
        self._sort(groups)
        groups = self._scan.window(groups)
        if len(groups) > _MAX_ROWS:
            message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single "
            raise Refusal(400, "EXCEEDED_ID_LIMIT", f"{message}batch")
        return [
            {"attributes": {"type": "AggregateResult"}, **{name: get(group) for name, get in self._getters}}
            for group in groups
        ]

    def _grouped(self) -> list[list[Record]]:
        records = self._scan.matching()
        if not self._scan.query.group:
            return [records]
        keys = [(getter, comparer(field)) for getter, field in self._keys]
        groups: dict[Any, list[Record]] = {}
        for record in records:
            key = tuple([compare(getter(record)) for getter, compare in keys])
            group = groups.get(key)
            if group is None:
                groups[key] = [record]
            else:
                group.append(record)
        return list(groups.values())

    def _key(self, expression: tree.Expression) -> tuple[Getter, Field]:
        getter, field = self._scan.expressions.compiled(expression)
        if isinstance(expression, tree.Path) and not field.groupable:
            message = f"field '{tree.label(expression)}' can not be grouped in a query call"
            raise self._scan.context.refused(message, expression.position)
        self._sums[self._scan.paths.canonical(expression)] = (lambda records: getter(records[0])), field
        return getter, field

    def _show(self, item: tree.Item) -> None:
        context = self._scan.context
        if isinstance(item, tree.Children):
            message = "Grouped query cannot use child relationships in the SELECT list"
            raise context.refused(message, item.position)
        if not isinstance(item, tree.Selected):
            what = "FIELDS" if isinstance(item, tree.Fields) else "TYPEOF"
            raise context.refused(f"Field must be grouped or aggregated: {what}", item.position)
        expression = item.expression
        getter, field = self._compiled(expression)
        name = item.alias or self._named(expression)
        if name.lower() in {column.lower() for column in self.columns}:
            raise context.refused(f"duplicate alias: {name}", expression.position)
        self.columns[name] = (expression, field)
        self._getters.append((name, getter))

    def _named(self, expression: tree.Expression) -> str:
        """What a column without an alias is called."""
        if isinstance(expression, tree.Path):
            return self._scan.paths.resolve(expression)[1].name
        self._unnamed += 1
        return f"expr{self._unnamed - 1}"

    def _compiled(self, expression: tree.Expression) -> tuple[Getter, Field]:
        """A function from a group to an expression's value, and the field that such values are of."""
        name = self._scan.paths.canonical(expression)
        if name not in self._sums and isinstance(expression, tree.Call):
            if expression.function in tree.AGGREGATES:
                self._sums[name] = self._sum(expression)
            elif expression.function not in tree.DATE_FUNCTIONS:
                return self._converted(expression)
        if name not in self._sums:
            self._scan.expressions.compiled(expression)  # one that does not exist is refused as such
            message = f"Field must be grouped or aggregated: {tree.label(expression)}"
            raise self._scan.context.refused(message, expression.position)
        return itemgetter(name), self._sums[name][1]

    def _converted(self, call: tree.Call) -> tuple[Getter, Field]:
        """FORMAT() and its kin around what was summed up or grouped by."""
        if call.function == "converttimezone":
            self._scan.expressions.compiled(call)  # refused: no date function is around it
        inner, field = self._compiled(self._scan.expressions.argument(call))
        convert, result_field = self._scan.expressions.conversion(call, field)
        return (lambda group: convert(inner(group))), result_field

    def _sum(self, call: tree.Call) -> tuple[Sum, Field]:
        expressions = self._scan.expressions
        argument = expressions.argument(call)
        if tree.has_aggregate(argument):
            raise self._scan.context.refused(f"unexpected token: '{tree.label(argument)}'", argument.position)
        getter, field = expressions.compiled(argument)
        if not field.aggregatable or (call.function in ("sum", "avg") and field.type not in _NUMBERS):
            message = f"field {tree.label(argument)} does not support aggregate operator {call.function.upper()}"
            raise self._scan.context.refused(message, call.position)
        kind = {"count": "int", "count_distinct": "int", "avg": "double"}.get(call.function, field.type)
        sum_field = dataclasses.replace(field, type=kind, filterable=True, sortable=True)
        return _summing(call.function, getter, field), sum_field


def _summing(function: str, getter: Getter, field: Field) -> Sum:
    compare = comparer(field)

    def values(records: list[Record]) -> list[Any]:
        return [value for record in records if (value := getter(record)) is not None]

    def average(records: list[Record]) -> float | None:
        numbers = values(records)
        return sum(numbers) / len(numbers) if numbers else None

    sums: dict[str, Sum] = {
        "count": lambda records: len(values(records)),
        "count_distinct": lambda records: len({compare(value) for value in values(records)}),
        "sum": lambda records: sum(numbers) if (numbers := values(records)) else None,
        "avg": average,
        "min": lambda records: min(values(records), key=compare, default=None),
        "max": lambda records: max(values(records), key=compare, default=None),
    }
    return sums[function]

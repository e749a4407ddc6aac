"""Counts and groups of many orgs as one: which queries can be added up, and the adding.

Counts and sums add, the least of the least is the least, and an average is weighted where the query counts the same
field. What depends on the whole (HAVING, LIMIT, COUNT_DISTINCT, ROLLUP) cannot be told from the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from orgserver.model.errors import InvalidArgument
from orgserver.model.results import FieldValues
from orgserver.salesforce.soql import SoqlError
from orgserver.salesforce.soql.tokens import Token, tokenize

SUMS_WARNING = "sums and averages add amounts as they are, whatever the currency of each org"
_ADDED = frozenset({"count", "sum"})
_AGGREGATES = _ADDED | {"min", "max", "avg", "count_distinct"}
_LARGEST = 10.0**100
"""Whatever is beyond it is no amount, and its sums would be no numbers of JSON."""
_WHOLE = {
    "having": "HAVING chooses groups in each org before they are added",
    "limit": "LIMIT cuts groups in each org before they are added",
    "offset": "OFFSET cuts groups in each org before they are added",
    "rollup": "ROLLUP adds rows that are no groups",
    "cube": "CUBE adds rows that are no groups",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the result: its name there, its function (none for a group's field), and what that is of."""

    name: str
    function: str | None
    of: str = ""

    @property
    def aggregate(self) -> bool:
        """Whether it is computed over a group; else it names the group."""
        return self.function in _AGGREGATES


@dataclass(frozen=True, slots=True)
class Merge:
    """How the results of a query are added up."""

    columns: tuple[Column, ...]
    """Empty for ``SELECT COUNT()``, whose result is a number without records."""

    @property
    def counts_only(self) -> bool:
        """Whether the result is nothing but a number."""
        return not self.columns

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever reads the numbers must know."""
        return (SUMS_WARNING,) if any(each.function in ("sum", "avg") for each in self.columns) else ()

    def count_row(self, total: int) -> list[FieldValues]:
        """The one row of a result that is nothing but a number, named as Salesforce names ``COUNT(Id)``."""
        return [{"expr0": total}]

    def accepts(self, records: Sequence[FieldValues]) -> bool:
        """Whether an org's rows are what such a query gives: numbers in sums and counts, no objects anywhere."""
        return all(_fits(column, record) for record in records for column in self.columns)

    def add_rows(self, results: Sequence[Sequence[FieldValues]]) -> list[FieldValues]:
        """Add the rows of several orgs up, each group once, in the order of their first appearance."""
        groups: dict[tuple[Any, ...], list[FieldValues]] = {}
        for records in results:
            for record in records:
                row = {name.lower(): value for name, value in record.items()}
                key = tuple(row.get(each.name.lower()) for each in self.columns if not each.aggregate)
                groups.setdefault(key, []).append(row)
        return [self._row(rows) for rows in groups.values()]

    def _row(self, rows: list[FieldValues]) -> FieldValues:
        return {each.name: self._value(each, rows) for each in self.columns}

    def _value(self, column: Column, rows: list[FieldValues]) -> Any:
        if not column.aggregate:
            return rows[0].get(column.name.lower())
        if column.function == "avg":
            return self._average(column, rows)
        values = [row[column.name.lower()] for row in rows if row.get(column.name.lower()) is not None]
        if not values:
            return 0 if column.function == "count" else None
        if column.function in ("min", "max"):  # a text in one org and a number in another have an order too
            ranked = sorted(values, key=lambda each: (isinstance(each, str), each))
            return ranked[0 if column.function == "min" else -1]
        return sum(values)

    def _average(self, column: Column, rows: list[FieldValues]) -> float | None:
        name, weight = column.name.lower(), _weight(column, self.columns)
        assert weight is not None  # noqa: S101  # ``read_merge`` saw to it
        pairs = [(row[name], row[weight]) for row in rows if row.get(name) is not None and row.get(weight)]
        total = sum(count for _, count in pairs)
        return sum(average * count for average, count in pairs) / total if total else None


def _fits(column: Column, record: FieldValues) -> bool:
    value = {name.lower(): each for name, each in record.items()}.get(column.name.lower())
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
    if value is None or number:
        return True
    if column.aggregate:
        return isinstance(value, str) and column.function in ("min", "max")
    return isinstance(value, str | bool)


def read_merge(soql: str) -> Merge:
    """How to add up what this query gives; InvalidArgument says why it cannot be."""
    try:
        tokens = tokenize(soql)
    except SoqlError as error:
        raise _cannot(f"soql cannot be read: {error}") from None
    select_list, rest = _clauses(tokens)
    if [token.text.lower() for token in select_list] == ["count", "(", ")"]:
        _check_whole(rest, is_count=True)
        return Merge(())
    _check_whole(rest, is_count=False)
    columns = tuple(_columns(select_list))
    if not any(each.aggregate for each in columns):
        raise _cannot("this query returns records")
    for column in columns:
        if column.function == "count_distinct":
            raise _cannot("COUNT_DISTINCT of the orgs together is not the sum of each")
        if column.function == "avg" and not _weight(column, columns):
            raise _cannot(f"AVG({column.of}) needs COUNT({column.of}) beside it, to weigh each org")
    return Merge(columns)


def _clauses(tokens: list[Token]) -> tuple[list[Token], list[Token]]:
    """What stands between SELECT and its FROM, and everything behind it."""
    depth = 0
    for place, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.kind == "name" and token.text.lower() == "from":
            return tokens[1:place], tokens[place:]
    raise _cannot("soql has no FROM")


def _check_whole(rest: list[Token], *, is_count: bool) -> None:
    depth = 0
    for token, following in pairwise(rest):
        depth += (token.text == "(") - (token.text == ")")
        word = token.text.lower() if token.kind == "name" and depth == 0 else ""
        if word in _WHOLE and (word not in ("rollup", "cube") or following.text == "("):
            if is_count and word == "limit":
                raise _cannot("LIMIT cuts the count in each org before they are added")
            raise _cannot(_WHOLE[word])


def _columns(select_list: list[Token]) -> list[Column]:
    columns: list[Column] = []
    expressions = 0
    for item in _items(select_list):
        words = [token.text for token in item]
        is_call = len(words) > 1 and words[1] == "("
        if not is_call:
            columns.append(Column(words[-1].rpartition(".")[2], None, words[0].lower()))
            continue
        closing = len(words) - 1 - words[::-1].index(")") if ")" in words else len(words) - 1
        name = words[closing + 1] if closing + 1 < len(words) else f"expr{expressions}"
        expressions += closing + 1 == len(words)
        columns.append(Column(name, words[0].lower(), "".join(words[2:closing]).lower()))
    return columns


def _items(select_list: list[Token]) -> list[list[Token]]:
    items: list[list[Token]] = [[]]
    depth = 0
    for token in select_list:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and depth == 0:
            items.append([])
        else:
            items[-1].append(token)
    if not all(items):
        raise _cannot("soql selects nothing between two commas")
    return items


def _weight(average: Column, columns: Sequence[Column]) -> str | None:
    """The column that counts the values of an average."""
    return next((each.name.lower() for each in columns if (each.function, each.of) == ("count", average.of)), None)


def _cannot(why: str) -> InvalidArgument:
    return InvalidArgument(
        f"merge adds counts and groups up, and this query cannot be: {why}",
        fields=["merge"],
        hint="leave merge out to get the results of each org side by side",
    )

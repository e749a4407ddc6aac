"""What a query is once it is understood: the nodes of its tree.

Positions are offsets into the text, for error messages; two nodes that differ only in them are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

AGGREGATES = frozenset({"count", "count_distinct", "sum", "avg", "min", "max"})
DATE_FUNCTIONS = frozenset(
    {
        "calendar_month",
        "calendar_quarter",
        "calendar_year",
        "day_in_month",
        "day_in_week",
        "day_in_year",
        "day_only",
        "fiscal_month",
        "fiscal_quarter",
        "fiscal_year",
        "hour_in_day",
        "week_in_month",
        "week_in_year",
    }
)
OTHER_FUNCTIONS = frozenset(
    {"converttimezone", "convertcurrency", "distance", "format", "geolocation", "grouping", "tolabel"}
)
FUNCTIONS = AGGREGATES | DATE_FUNCTIONS | OTHER_FUNCTIONS


@dataclass(frozen=True, slots=True)
class Value:
    """A literal. ``kind`` is string, pattern (behind LIKE), number, date, datetime, boolean, null or dateword."""

    kind: str
    value: Any
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Path:
    """A field, or one behind relationships: ``Account.Owner.Name``."""

    path: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of a field, of another function, or of literals; its name in lower case."""

    function: str
    arguments: tuple[Path | Call | Value, ...]
    position: int = field(default=0, compare=False)


Expression = Path | Call


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``; the right of a list operator is several values, or for ``in`` a query."""

    left: Expression
    operator: str
    right: Value | tuple[Value, ...] | Query
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by ``and`` or ``or``."""

    operator: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """``NOT condition``."""

    condition: Condition


Condition = Comparison | Group | Negation


@dataclass(frozen=True, slots=True)
class Order:
    """One term of ORDER BY."""

    by: Expression
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True)
class Selected:
    """A field or function to show, perhaps under another name."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """``FIELDS(group)``: all, standard or custom."""

    group: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class TypeOf:
    """``TYPEOF relationship WHEN object THEN paths … ELSE paths END``."""

    relationship: str
    cases: tuple[tuple[str, tuple[Path, ...]], ...]
    otherwise: tuple[Path, ...] = ()
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Children:
    """A query of the records that refer to this one; it reads from a relationship."""

    query: Query
    position: int = field(default=0, compare=False)


Item = Selected | Fields | TypeOf | Children


@dataclass(frozen=True, slots=True)
class Clauses:
    """Where the last clauses of a query stand in its text; of one that is not there, where it would stand."""

    order: int = 0
    limit: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A query, or one within another."""

    sobject: str
    """As written behind FROM: an object, or within SELECT a relationship."""
    selected: tuple[Item, ...] = ()
    """Empty for COUNT()."""
    count: bool = False
    alias: str | None = None
    scope: str | None = None
    where: Condition | None = None
    group: tuple[Expression, ...] = ()
    subtotals: str | None = None
    """``rollup`` or ``cube``."""
    having: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    position: int = field(default=0, compare=False)
    """Of the object's name."""
    clauses: Clauses = field(default=Clauses(), compare=False)

    @property
    def aggregated(self) -> bool:
        """Whether its rows sum up records; COUNT() has none."""
        return bool(self.group) or any(
            isinstance(item, Selected) and has_aggregate(item.expression) for item in self.selected
        )


def has_aggregate(expression: Path | Call | Value) -> bool:
    """Tell whether an expression is of many records, not of one."""
    if not isinstance(expression, Call):
        return False
    return expression.function in AGGREGATES or any(has_aggregate(each) for each in expression.arguments)


def paths(expression: Path | Call | Value) -> tuple[Path, ...]:
    """The fields that an expression is made from."""
    if isinstance(expression, Path):
        return (expression,)
    if isinstance(expression, Value):
        return ()
    return tuple(path for argument in expression.arguments for path in paths(argument))


def own(query: Query, path: str) -> str:
    """A path without the query's alias, or the name of its object, in front."""
    first, _, rest = path.partition(".")
    prefixes = {query.sobject.lower(), (query.alias or query.sobject).lower()}
    return rest if rest and first.lower() in prefixes else path


def comparisons(condition: Condition | None) -> tuple[Comparison, ...]:
    """The comparisons that a condition is made from."""
    if condition is None:
        return ()
    if isinstance(condition, Comparison):
        return (condition,)
    if isinstance(condition, Negation):
        return comparisons(condition.condition)
    return tuple(comparison for each in condition.conditions for comparison in comparisons(each))


def label(expression: Expression) -> str:
    """An expression as one would write it, without its literals."""
    if isinstance(expression, Path):
        return expression.path
    inner = (label(each) for each in expression.arguments if not isinstance(each, Value))
    return f"{expression.function}({', '.join(inner)})"

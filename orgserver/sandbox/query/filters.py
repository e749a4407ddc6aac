"""Which records a WHERE clause lets through, compared as Salesforce compares."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from orgserver.model.names import record_id
from orgserver.salesforce.soql import tree
from orgserver.sandbox.errors import framed
from orgserver.sandbox.query import date_literals
from orgserver.sandbox.query.field_paths import Getter
from orgserver.sandbox.state.records import Record
from orgserver.sandbox.state.schema import Field

Matcher = Callable[[Record], bool]
Compiler = Callable[[tree.Expression], tuple[Getter, Field]]
Joins = Callable[[tree.Comparison, tree.Query, Field], frozenset[Any]]
"""From a comparison with a query, the query, and the field compared to the ids that the query finds."""
_IDS = frozenset({"id", "reference"})
_TEXTS = frozenset(
    {"string", "textarea", "phone", "email", "url", "picklist", "multipicklist", "combobox", "encryptedstring"}
)
_NUMBERS = frozenset({"int", "double", "currency", "percent", "long"})
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED = frozenset({"<", "<=", ">", ">="})


class Filter:
    """Turns conditions into functions over records. Refusal where a value does not fit its field."""

    def __init__(self, compiled: Compiler, joins: Joins, text: str, now: datetime, zone: ZoneInfo) -> None:
        self._compiled = compiled
        self._joins = joins
        self._text = text
        self._zone = zone
        self._today = now.astimezone(zone).date()

    def matcher(self, condition: tree.Condition) -> Matcher:
        """A function that tells whether a record matches."""
        if isinstance(condition, tree.Negation):
            inner = self.matcher(condition.condition)
            return lambda record: not inner(record)
        if isinstance(condition, tree.Group):
            parts = [self.matcher(each) for each in condition.conditions]
            combine = all if condition.operator == "and" else any
            return lambda record: combine(part(record) for part in parts)
        return self._comparison(condition)

    def _comparison(self, comparison: tree.Comparison) -> Matcher:
        getter, field = self._compiled(comparison.left)
        if not field.filterable:
            message = f"field '{field.name}' can not be filtered in a query call"
            raise framed("INVALID_FIELD", message, self._text, comparison.position)
        value = comparison.right
        if comparison.operator in ("includes", "excludes"):
            return self._includes(getter, field, comparison)
        if not isinstance(value, tree.Value):
            return self._among(getter, field, comparison)
        if value.kind == "pattern":
            return self._like(getter, field, comparison, value)
        if comparison.operator in _ORDERED and (field.type in _IDS | {"boolean"} or value.kind == "null"):
            raise self._bad_operator(field, comparison.position)
        if value.kind == "dateword":
            return self._within(getter, field, comparison.operator, value)
        return _compared(getter, field, comparison.operator, self._operand(field, value))

    def _among(self, getter: Getter, field: Field, comparison: tree.Comparison) -> Matcher:
        value = comparison.right
        if isinstance(value, tree.Query):
            members = self._joins(comparison, value, field)
        else:
            members = frozenset(self._operand(field, each) for each in _several(value))
        inside = comparison.operator == "in"
        compare = comparer(field)
        return lambda record: (compare(getter(record)) in members) is inside

    def _includes(self, getter: Getter, field: Field, comparison: tree.Comparison) -> Matcher:
        if field.type != "multipicklist":
            raise self._bad_operator(field, comparison.position)
        choices = [_choices(self._operand(field, each)) for each in _several(comparison.right)]
        inside = comparison.operator == "includes"

        def matches(record: Record) -> bool:
            record_choices = _choices(comparable(field, getter(record)))
            return any(each <= record_choices for each in choices) is inside

        return matches

    def _like(self, getter: Getter, field: Field, comparison: tree.Comparison, value: tree.Value) -> Matcher:
        if field.type not in _TEXTS:
            raise self._bad_operator(field, comparison.position)
        pattern = _pattern(value.value)
        return lambda record: pattern.fullmatch(getter(record) or "") is not None

    def _within(self, getter: Getter, field: Field, comparison: str, value: tree.Value) -> Matcher:
        word, amount = value.value
        span = date_literals.span(word, amount, self._today)
        if field.type not in ("date", "datetime"):
            raise self._bad_value(field, value)
        if span is None:
            raise framed("MALFORMED_QUERY", f"unexpected token: '{word}'", self._text, value.position)
        first, last = (self._midnight(day, field) for day in span)
        tests: dict[str, Callable[[datetime], bool]] = {
            "=": lambda instant: first <= instant < last,
            "!=": lambda instant: not first <= instant < last,
            "<": lambda instant: instant < first,
            "<=": lambda instant: instant < last,
            ">": lambda instant: instant >= last,
            ">=": lambda instant: instant >= first,
        }
        test = tests[comparison]

        compare = comparer(field)

        def matches(record: Record) -> bool:
            instant = compare(getter(record))
            return comparison == "!=" if instant is None else test(instant)

        return matches

    def _midnight(self, day: date, field: Field) -> datetime:
        """When a day begins: where the user lives, or as dates without a time are compared here."""
        return datetime.combine(day, time.min, UTC if field.type == "date" else self._zone)

    def _operand(self, field: Field, value: tree.Value) -> Any:
        fits = {
            "string": field.type in _TEXTS or field.type in _IDS,
            "number": field.type in _NUMBERS,
            "boolean": field.type == "boolean",
            "date": field.type == "date",
            "datetime": field.type == "datetime",
            "null": True,
        }
        if not fits.get(value.kind, False):
            raise self._bad_value(field, value)
        if field.type in _IDS and value.value is not None:
            return self._id(value)
        try:
            return comparable(field, value.value)
        except ValueError:  # the 30th of February
            raise framed(
                "MALFORMED_QUERY", f"line 1:{value.position} no viable alternative", self._text, value.position
            ) from None

    def _id(self, value: tree.Value) -> str:
        try:
            return record_id(value.value)
        except ValueError:
            message = f"invalid ID field: {value.value}"
            raise framed("INVALID_QUERY_FILTER_OPERATOR", message, self._text, value.position) from None

    def _bad_value(self, field: Field, value: tree.Value) -> Exception:
        prefix = "" if field.type in _TEXTS or field.type in _IDS else "not "
        kind = {"datetime": "dateTime"}.get(field.type, field.type)
        message = f"value of filter criterion for field '{field.name}' must be of type {kind} "
        return framed("INVALID_FIELD", f"{message}and should {prefix}be enclosed in quotes", self._text, value.position)

    def _bad_operator(self, field: Field, position: int) -> Exception:
        message = f"invalid operator on {field.type} field"
        return framed("INVALID_QUERY_FILTER_OPERATOR", message, self._text, position)


def comparer(field: Field) -> Callable[[Any], Any]:
    """A function from a value to the form in which values of its field are compared; texts without regard to case."""
    if field.type == "datetime":
        return lambda value: None if value is None else datetime.fromisoformat(value)
    if field.type == "date":
        return lambda value: None if value is None else datetime.combine(date.fromisoformat(value), time.min, UTC)
    if field.type in _IDS or field.type in _NUMBERS or field.type == "boolean":
        return lambda value: value
    return lambda value: value.casefold() if isinstance(value, str) else value


def comparable(field: Field, value: Any) -> Any:
    """A value in the form in which values of its field are compared and sorted."""
    return comparer(field)(value)


def _compared(getter: Getter, field: Field, comparison: str, operand: Any) -> Matcher:
    test = _OPERATORS[comparison]
    compare = comparer(field)
    if comparison not in _ORDERED:
        return lambda record: test(compare(getter(record)), operand)

    def matches(record: Record) -> bool:
        value = compare(getter(record))
        return value is not None and test(value, operand)

    return matches


def _several(values: tree.Value | tuple[tree.Value, ...] | tree.Query) -> tuple[tree.Value, ...]:
    return values if isinstance(values, tuple) else ()


def _choices(text: str | None) -> set[str]:
    """The values of a multi-select picklist."""
    return set((text or "").split(";")) - {""}


def _pattern(text: str) -> re.Pattern[str]:
    letters = iter(text)
    parts = []
    for letter in letters:
        if letter == "\\":
            parts.append(re.escape(next(letters, "\\")))
        else:
            parts.append({"%": ".*", "_": "."}.get(letter, re.escape(letter)))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)

"""What the functions of SOQL make of one value: CALENDAR_YEAR, DAY_ONLY, toLabel, FORMAT and their kin.

Date functions count in UTC unless convertTimezone() stands around the field (SOQL Reference, "Date Functions").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from orgserver.salesforce.soql import tree
from orgserver.sandbox.errors import framed
from orgserver.sandbox.query.field_paths import Getter, Paths
from orgserver.sandbox.state.records import Record
from orgserver.sandbox.state.schema import Field

Convert = Callable[[Any], Any]
_DATES = frozenset({"date", "datetime"})
_NUMBERS = frozenset({"int", "long", "double", "currency", "percent"})
_ONLY_TIMES = frozenset({"hour_in_day", "day_only"})
_PARTS: dict[str, Callable[[Any], Any]] = {
    "calendar_month": lambda day: day.month,
    "calendar_quarter": lambda day: (day.month + 2) // 3,
    "calendar_year": lambda day: day.year,
    "day_in_month": lambda day: day.day,
    "day_in_week": lambda day: day.isoweekday() % 7 + 1,  # Sunday is 1
    "day_in_year": lambda day: day.timetuple().tm_yday,
    "day_only": lambda day: day.date().isoformat(),
    "hour_in_day": lambda day: day.hour,
    "week_in_month": lambda day: (day.day + 6) // 7,
    "week_in_year": lambda day: (day.timetuple().tm_yday + 6) // 7,
}
# Fiscal years are taken to be calendar years.
_PARTS |= {f"fiscal_{unit}": _PARTS[f"calendar_{unit}"] for unit in ("month", "quarter", "year")}


class Expressions:
    """Turns the expressions of one query into functions over records."""

    def __init__(self, paths: Paths, text: str, zone: ZoneInfo) -> None:
        self._paths = paths
        self._text = text
        self._zone = zone

    def compiled(self, expression: tree.Expression, within: str = "") -> tuple[Getter, Field]:
        """A function from a record to the expression's value, and the field that such values are of.

        ``within`` is the function around it.
        """
        if isinstance(expression, tree.Path):
            return self._paths.getter(expression)
        if expression.function == "converttimezone" and within not in tree.DATE_FUNCTIONS:
            raise self._refused(expression, "convertTimezone() can only be used in a date function")
        argument = self.argument(expression)
        inner, field = self.compiled(argument, expression.function)
        convert, result_field = self.conversion(expression, field)

        def get(record: Record) -> Any:
            return convert(inner(record))

        return get, result_field

    def argument(self, call: tree.Call) -> tree.Expression:
        """The one thing that a function is of."""
        first = call.arguments[0]
        if len(call.arguments) > 1 or isinstance(first, tree.Value):
            raise self._refused(call, f"{call.function.upper()} is not supported here")
        return first

    def conversion(self, call: tree.Call, field: Field) -> tuple[Convert, Field]:
        """What a function makes of a value of a field, and the field that the outcome is of."""
        name = call.function
        if name in _PARTS and field.type in _DATES and not (field.type == "date" and name in _ONLY_TIMES):
            kind = "date" if name == "day_only" else "int"
            return _unless_null(_part(name)), dataclasses.replace(field, type=kind)
        if name == "converttimezone" and field.type == "datetime":
            return _unless_null(lambda text: _local(text, self._zone).isoformat()), field
        if name == "tolabel" and field.type in ("picklist", "multipicklist", "combobox", "string", "reference"):
            return lambda value: value, field  # the org's language is that of its describe: labels are values
        if name == "convertcurrency" and field.type == "currency":
            return lambda value: value, field
        if name == "format" and field.type in _DATES | _NUMBERS:
            return _unless_null(lambda value: self._formatted(field, value)), dataclasses.replace(field, type="string")
        if name in tree.AGGREGATES:
            raise self._refused(call, f"Aggregate functions can not be used here: {tree.label(call)}")
        raise self._refused(call, f"field {field.name} does not support function {name.upper()}")

    def _formatted(self, field: Field, value: Any) -> str:
        """A value as a user in the United States reads it."""
        if field.type in _NUMBERS:
            return f"${value:,.2f}" if field.type == "currency" else f"{value:,}"
        if field.type == "date":
            return _american(date.fromisoformat(value))
        local = _local(value, self._zone)
        return f"{_american(local)}, {local.hour % 12 or 12}:{local:%M %p}"

    def _refused(self, call: tree.Call, message: str) -> Exception:
        return framed("MALFORMED_QUERY", message, self._text, call.position)


def _part(name: str) -> Convert:
    part = _PARTS[name]
    return lambda text: part(datetime.fromisoformat(text))


def _unless_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _local(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).astimezone(zone)


def _american(day: date) -> str:
    return f"{day.month}/{day.day}/{day.year}"

"""The values of filters, read by the types of their fields: of every org's fields here, of others by their describe.

SOQL writes numbers, dates, times, true and false without quotes, so that the type decides how a value is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any

from orgserver.model import times
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.names import SObjectName
from orgserver.model.schema import FieldInfo, Schema
from orgserver.salesforce.protocol import standard_fields
from orgserver.services.records import value_shapes

_NO_VALUES = frozenset({"contains", "starts_with", "is_null"})
"""Operators whose values are texts, or flags, whatever the field is."""
_EXAMPLES = {"date": "2026-02-20", "datetime": "2026-02-20T18:00:00Z"}
ReadSchema = Callable[[SObjectName], Awaitable[Schema]]


def read_value(name: str, field: FieldInfo, value: Any) -> Any:
    """A value as it is compared with; InvalidArgument where it means nothing for this field."""
    if value is None or isinstance(value, list | dict):
        return value
    try:
        return _read(field, value)
    except ValueError as error:
        example = _EXAMPLES.get(field.type)
        problem = f"takes a {field.type} such as {example}" if example and isinstance(value, str) else str(error)
        raise InvalidArgument(f"filter.{name} {problem}", fields=[f"filter.{name}"]) from None


def _read(field: FieldInfo, value: Any) -> Any:
    if field.type == "date":
        return value if isinstance(value, date) else date.fromisoformat(value_shapes.convert(field, value))
    if field.type == "datetime":
        return value if isinstance(value, date) else times.read_instant(value_shapes.convert(field, value))
    if field.type == "boolean" or field.type in value_shapes.NUMBERS:
        return value_shapes.convert(field, value)
    if field.type in value_shapes.PICKLISTS and isinstance(value, str):
        try:
            return value_shapes.convert(field, value)
        except ValueError:
            return value  # records may have values that the picklist has no more
    return str(value) if type(value) is int and field.type in value_shapes.TEXTS else value


async def convert_filter(filter_: Mapping[str, Any], sobject: SObjectName, read_schema: ReadSchema) -> dict[str, Any]:
    """A filter whose values are read by their fields' types, as far as the org tells them."""
    values = dict(filter_)
    for name, condition in filter_.items():
        standard = standard_fields.field(sobject, name)
        if (standard is not None and standard.type not in value_shapes.PICKLISTS) or not _has_values(condition):
            continue
        field = await _field(name, sobject, read_schema)
        if field is not None:
            values[name] = _convert_condition(name, field, condition)
    return values


def _has_values(condition: Any) -> bool:
    operators = condition if isinstance(condition, dict) else {"eq": condition}
    values = (each for operator, each in operators.items() if operator not in _NO_VALUES)
    return any(
        not isinstance(value, bool) and isinstance(value, str | int)
        for each in values
        for value in (each if isinstance(each, list) else [each])
    )


def _convert_condition(name: str, field: FieldInfo, condition: Any) -> Any:
    if not isinstance(condition, dict):
        return read_value(name, field, condition)
    return {
        operator: value
        if operator in _NO_VALUES
        else [read_value(name, field, each) for each in value]
        if isinstance(value, list)
        else read_value(name, field, value)
        for operator, value in condition.items()
    }


async def _field(path: str, sobject: SObjectName, read_schema: ReadSchema) -> FieldInfo | None:
    """The field at the end of a path; None where that cannot be known."""
    *steps, last = path.split(".")
    try:
        for step in steps:
            reference = (await read_schema(sobject)).reference(step)
            if reference is None or len(reference.reference_to) != 1:
                return None
            sobject = SObjectName(reference.reference_to[0])
        return (await read_schema(sobject)).field(last)
    except CallError:
        return None  # Salesforce says what is wrong

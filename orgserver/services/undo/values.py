"""Whether a record's values are those that were expected, as Salesforce compares values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orgserver.model import names, times
from orgserver.model.results import FieldValues
from orgserver.services.calls.snapshot import pick_fields

_MISSING = object()


def find_differing_fields(record: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """The fields of a record that are not as expected."""
    now = pick_fields(record, tuple(expected))
    return [name for name, value in expected.items() if not _is_same(now.get(name, _MISSING), value)]


def lower_names(record: FieldValues) -> FieldValues:
    """A record with its field names in lower case."""
    return {name.lower(): value for name, value in record.items()}


def _is_same(one: object, other: object) -> bool:
    """Whether Salesforce would store both as the same value."""
    return one == other or _normalize(one) == _normalize(other)


def _normalize(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip().replace("\r\n", "\n")
    if times.is_datetime(text):
        return datetime.fromisoformat(text).replace(microsecond=0)
    try:
        return names.record_id(text)
    except ValueError:
        return (text.lower() if "@" in text else text) or None

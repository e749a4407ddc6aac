"""Values inside the JSON of replies: records without their ``attributes``, counts, and the error for anything else."""

from __future__ import annotations

from typing import Any, TypeGuard

from orgserver.model.errors import Rejected

_LARGEST_WHOLE = 2**53 - 1


def strip_attributes(value: Any) -> Any:
    """Take Salesforce's ``attributes`` out of a record, and out of the records inside it."""
    if isinstance(value, dict):
        return {
            name: strip_attributes(inner) if isinstance(inner, dict | list) else inner
            for name, inner in value.items()
            if name != "attributes"
        }
    if isinstance(value, list):
        return [strip_attributes(inner) for inner in value]
    return value


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether this is a whole number of a size that every reader of JSON takes exactly (RFC 8259, section 6)."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_WHOLE


def is_count(value: Any) -> TypeGuard[int]:
    """Whether this counts something."""
    return is_whole(value) and value >= 0


def read_records(value: Any) -> list[dict[str, Any]]:
    """A list of records; Rejected for anything else."""
    if not isinstance(value, list):
        raise unreadable()
    if not all(isinstance(each, dict) for each in value):
        raise Rejected("the org's answer has records that are no objects", code="BAD_REPLY")
    return value


def unreadable() -> Rejected:
    """Make the error of a reply whose JSON is none that Salesforce documents."""
    return Rejected("the org's answer has not the form that Salesforce documents", code="BAD_REPLY")

"""Are these values what Salesforce would take? Checked as far as every org agrees; Salesforce judges the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

from orgserver.model import names
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import RecordId, SObjectName
from orgserver.model.results import FieldValues
from orgserver.salesforce import protocol, soql, standard
from orgserver.services import moments

MAX_FIELDS = 800
"""Salesforce allows 800 custom fields an object and fewer standard ones."""

Act = Literal["create", "update", "upsert"]
_A: dict[Act, str] = {"create": "a create", "update": "an update", "upsert": "an upsert"}
_TEXT = frozenset({"string", "textarea", "phone", "email", "url", "picklist", "combobox"})
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:?\d{2})")


def check_duplicates_allowed(version: str, allow_duplicates: bool) -> None:
    """See that the API version of an org knows how to save duplicates."""
    if allow_duplicates and int(version[1:].partition(".")[0]) < protocol.DUPLICATES_SINCE:
        raise InvalidArgument(
            f"allow_duplicates needs API version {protocol.DUPLICATES_SINCE}.0; this org is registered with {version}",
            fields=["allow_duplicates"],
            hint="an administrator registers the org with a newer --api-version",
        )


def record_id(argument: str, text: str, sobject: SObjectName) -> RecordId:
    """Read a record id that was given as an argument."""
    try:
        return names.record_id(text, names.KEY_PREFIX.get(sobject))
    except ValueError as error:
        raise InvalidArgument(f"{argument} is not the id of a {sobject}: {error}", fields=[argument]) from None


def field_names(given: Sequence[str] | None, sobject: SObjectName) -> tuple[str, ...]:
    """Read ``fields``: names or relationship paths, each once, ``Id`` always first; none at all means every field."""
    if given is None:
        return standard.DEFAULT_FIELDS.get(sobject, ())
    if not given:
        raise InvalidArgument("fields is empty; name at least one field, or leave it out", fields=["fields"])
    found: dict[str, str] = {"id": "Id"}
    for name in given:
        if not names.is_field_path(name):
            raise InvalidArgument(
                "fields holds something that is no field name; use names such as Email or Account.Name",
                fields=["fields"],
            )
        found.setdefault(name.lower(), name)
    return tuple(found.values())


def to_write(values: Mapping[str, Any], sobject: SObjectName, act: Act) -> FieldValues:
    """Check field values before they are sent; InvalidArgument names the field as ``data.Field``."""
    if not values:
        raise InvalidArgument("data is empty; give at least one field", fields=["data"])
    if len(values) > MAX_FIELDS:
        raise InvalidArgument("data has more fields than an object can have", fields=["data"])
    sent: FieldValues = {}
    for name, value in values.items():
        _check_name(name)
        known = standard.field(sobject, name)
        if known is not None:
            _check_writable(known, act)
            if value is not None:
                _check_value(known, value)
                sent[name] = _as_sent(known, value)
        elif isinstance(value, list | dict):
            raise _bad(name, "is a list or an object; a field takes a text, a number, true, false or null")
    return dict(values) | sent


def _as_sent(field: standard.StandardField, value: Any) -> Any:
    """A time that names a zone, or has no seconds, in a form that Salesforce takes."""
    if field.type != "datetime" or is_datetime(value):
        return value
    return soql.literal(moments.instant(value))


def _check_name(name: str) -> None:
    if not names.is_field(name):
        raise InvalidArgument("data holds a name that no field can have", fields=["data"])
    if name.lower() in ("id", "attributes"):
        raise _bad(name, "cannot be set; a record's id is Salesforce's to give")


def _check_writable(field: standard.StandardField, act: Act) -> None:
    allowed = {"create": field.createable, "update": field.updateable}
    if not allowed.get(act, field.createable or field.updateable):
        raise _bad(field.name, f"cannot be set by {_A[act]}; Salesforce computes it")


def _check_value(field: standard.StandardField, value: object) -> None:
    problem = _problem(field, value)
    if problem:
        raise _bad(field.name, problem)


def _problem(field: standard.StandardField, value: object) -> str | None:
    if field.type in _TEXT:
        if not isinstance(value, str):
            return "must be a text"
        return f"is longer than {field.length} characters" if field.length and len(value) > field.length else None
    if field.type == "boolean":
        return None if isinstance(value, bool) else "must be true or false"
    if field.type in ("int", "double"):
        return _number_problem(field.type, value)
    return _time_problem(field.type, value) if field.type in ("date", "datetime") else _reference_problem(value)


def _time_problem(kind: str, value: object) -> str | None:
    if kind == "date":
        return None if isinstance(value, str) and is_date(value) else "must be a date such as 2026-02-20"
    try:
        moments.instant(value if isinstance(value, str) else "")
    except ValueError as error:
        return str(error)
    return None


def _number_problem(kind: str, value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    return "must be a whole number" if kind == "int" and value != int(value) else None


def _reference_problem(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a record id"
    try:
        names.record_id(value)
    except ValueError as error:
        return f"is not a record id: {error}"
    return None


def is_date(text: str) -> bool:
    """Tell whether this is a date Salesforce takes (REST guide, "Valid Date and DateTime Formats")."""
    return bool(_DATE.fullmatch(text)) and _parses(date.fromisoformat, text)


def is_datetime(text: str) -> bool:
    """Tell whether this is a time with an offset."""
    return bool(_DATETIME.fullmatch(text)) and _parses(datetime.fromisoformat, text)


def _parses(read: Any, text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def _bad(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"data.{name} {problem}", fields=[f"data.{name}"])


def named(values: Iterable[str]) -> tuple[str, ...]:
    """Field names as the audit log keeps them: sorted, each once, none longer than a name can be."""
    return tuple(sorted({name[:255] for name in values}))[:MAX_FIELDS]

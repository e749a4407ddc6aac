"""Whether a value fits a field, and in which form a record stores it."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from typing import Any

from orgserver.model.names import record_id
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.state.schema import Field

_TEXTS = frozenset(
    {"string", "textarea", "phone", "email", "url", "picklist", "multipicklist", "combobox", "encryptedstring"}
)
_WHOLE = frozenset({"int", "long"})
DECIMALS = frozenset({"double", "currency", "percent"})
"""The types of fields whose numbers have decimals."""
_NUMBERS = DECIMALS | _WHOLE
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(_DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:?[0-9]{2})")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MAX_NUMBER = 10**18
_JSON_KINDS = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}


def stored_value(field: Field, value: Any) -> Any:  # noqa: PLR0911  # one return for each kind of field
    """A value as a record keeps it; Refusal if its field does not take it. Of a reference only the form is judged."""
    if value is None or value == "":
        return False if field.type == "boolean" else None
    if field.type in _TEXTS:
        return _text(field, value)
    if field.type in _NUMBERS:
        return _number(field, value)
    if field.type == "boolean" and (isinstance(value, bool) or value in ("true", "false")):
        return value in (True, "true")
    if field.type == "datetime":
        return stamp(_instant(field, value))
    if field.type == "date":
        return _day(field, value).isoformat()
    if field.type in ("reference", "id") and isinstance(value, str):
        return _reference(field, value)
    raise unparsable(field, value)


def stamp(moment: datetime) -> str:
    """A time as Salesforce writes it: UTC, milliseconds, no colon in the offset."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.000+0000"


def unparsable(field: Field, value: Any) -> Refusal:
    """The refusal of a value of the wrong kind."""
    kind = _JSON_KINDS.get(type(value), "START_ARRAY" if isinstance(value, list) else "START_OBJECT")
    excerpt = f" value {str(value)[:80]}" if kind.startswith("VALUE") else ""
    text = (
        f"Cannot deserialize instance of {field.type} from {kind}{excerpt} or request may be missing a required field"
    )
    return Refusal(400, "JSON_PARSER_ERROR", f"{text} at [line:1, column:2]")


def _text(field: Field, value: Any) -> str | None:
    if not isinstance(value, str):
        raise unparsable(field, value)
    value = value.strip()
    if field.length and len(value) > field.length:
        text = f"{field.name}: data value too large: {value[:200]} (max length={field.length})"
        raise Refusal(400, "STRING_TOO_LONG", text, [field.name])
    if field.type == "email" and value and not _EMAIL.fullmatch(value):
        text = f"{field.name}: invalid email address: {value}"
        raise Refusal(400, "INVALID_EMAIL_ADDRESS", text, [field.name])
    if field.choices is not None and value and value not in field.choices:
        text = f"{field.name}: bad value for restricted picklist field: {value}"
        raise Refusal(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text, [field.name])
    return value or None


def _number(field: Field, value: Any) -> int | float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise unparsable(field, value) from None
    if isinstance(value, bool) or not math.isfinite(number) or (field.type in _WHOLE and number != int(number)):
        raise unparsable(field, value)
    if abs(number) >= _MAX_NUMBER:
        raise Refusal(400, "NUMBER_OUTSIDE_VALID_RANGE", f"{field.name}: value outside of valid range", [field.name])
    return int(number) if field.type in _WHOLE else number


def _instant(field: Field, value: Any) -> datetime:
    if not isinstance(value, str) or not _DATETIME.fullmatch(value):
        raise unparsable(field, value)
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):  # the 30th of February, or the end of time
        raise unparsable(field, value) from None


def _day(field: Field, value: Any) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise unparsable(field, value)
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise unparsable(field, value) from None


def _reference(field: Field, value: str) -> str:
    try:
        return record_id(value)
    except ValueError:
        text = f"{field.name}: id value of incorrect type: {value[:80]}"
        raise Refusal(400, "MALFORMED_ID", text, [field.name]) from None

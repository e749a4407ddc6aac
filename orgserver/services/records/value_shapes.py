"""Field values converted from the shapes that people and models send to the one that a field's type takes.

Converted is what has one meaning: "yes" for a checkbox, "12.5" for a number, a picklist's label, a list for a
multi-select picklist, "24 Dec 2026" for a date. What may mean two things ("1,000", "03/04/2026", a time without its
zone) is refused with the shape that works. Texts stay as they are: a text field keeps "true" and "1,000".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from orgserver.model import times
from orgserver.model.schema import FieldInfo
from orgserver.model.text import clean_text
from orgserver.salesforce import soql

TEXTS = frozenset({"string", "textarea", "phone", "email", "url", "combobox", "encryptedstring", "id", "reference"})
WHOLE = frozenset({"int", "long"})
NUMBERS = WHOLE | {"double", "currency", "percent"}
PICKLISTS = frozenset({"picklist", "multipicklist"})
_CHOICES = 12
_YES = frozenset({"true", "yes", "y", "on", "1", "checked"})
_NO = frozenset({"false", "no", "n", "off", "0", "unchecked"})
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,3})[0-9]*)?)?(Z)?(?: ?([AaPp])\.?[Mm]\.?)?")
_NOON = 12
_NO_CHOICE = {"picklist": "must be a text", "multipicklist": "must be a text or a list of texts"}


def convert(field: FieldInfo, value: Any) -> Any:
    """The value as Salesforce takes it; ValueError says what is wrong, as in "must be true or false"."""
    read = _READERS.get(field.type)
    if value is None or read is None:
        return value
    return read(field, value)


def _boolean(_field: FieldInfo, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else str(value) if value in (0, 1) else ""
    if word in _YES or word in _NO:
        return word in _YES
    raise ValueError("must be true or false")


def _number(field: FieldInfo, value: Any) -> Any:
    number = _parsed(field, value) if isinstance(value, str) else value
    finite = not isinstance(number, bool) and isinstance(number, int | float | str)
    if not finite or (isinstance(number, float) and not math.isfinite(number)):
        raise ValueError("must be a number")
    if field.type in WHOLE and number != int(number):
        raise ValueError("must be a whole number")
    return int(number) if field.type in WHOLE else number


def _parsed(field: FieldInfo, text: str) -> int | float | str:
    """A number's text as the number; as text where a double would not hold all its digits, which Salesforce reads."""
    plain = text.strip().removesuffix("%").rstrip() if field.type == "percent" else text.strip()
    if not _NUMBER.fullmatch(plain):
        raise ValueError("must be a number such as 1234.5: digits, a point, and no other signs")
    if plain.lstrip("+-").isdigit():
        return int(plain)
    number = float(plain)
    exact = math.isfinite(number) and Decimal(repr(number)) == Decimal(plain)
    return number if exact or field.type in WHOLE else plain


def _date(_field: FieldInfo, value: Any) -> str:
    if isinstance(value, str):
        return times.read_day(value).isoformat()
    raise ValueError(f"must be a date such as {times.DATE_EXAMPLE}")


def _datetime(_field: FieldInfo, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a time with its offset or zone, such as {times.TIME_EXAMPLES}")  # noqa: TRY004  # told like every other wrong value
    at = times.read_instant(value)
    return value if times.is_datetime(value) else soql.literal(at)


def _time(_field: FieldInfo, value: Any) -> str:
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or (match[5] and match[6]):
        raise ValueError("must be a time of day such as 14:30:00")
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if match[6]:
        if not 1 <= hour <= _NOON:
            raise ValueError("must be a time of day such as 14:30:00")
        hour = hour % _NOON + (_NOON if match[6] in "Pp" else 0)
    if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004  # a clock
        raise ValueError("is a time that no clock has")
    return f"{hour:02}:{minute:02}:{second:02}.{(match[4] or '0').ljust(3, '0')}Z"


def _picklist(field: FieldInfo, value: Any) -> str | None:
    if isinstance(value, list):
        if len(value) > 1:
            raise ValueError("takes one value; a list of one will do, too")
        if not value:
            return None
        value = value[0]
    return _choose(field, value)


def _multipicklist(field: FieldInfo, value: Any) -> str | None:
    items = value if isinstance(value, list) else _apart(field, value)
    values = dict.fromkeys(_choose(field, each) for item in items for each in _parts(item))
    return ";".join(values) or (None if isinstance(value, list) else value)


def _parts(item: Any) -> list[Any]:
    return [part.strip() for part in item.split(";") if part.strip()] if isinstance(item, str) else [item]


def _apart(field: FieldInfo, value: Any) -> list[Any]:
    """The values in a text: apart by semicolons, or by commas where each part is a value and the whole is none."""
    if not isinstance(value, str) or ";" in value or "," not in value or _matches(field, value.strip()):
        return [value]
    parts = [part.strip() for part in value.split(",") if part.strip()]
    return list(parts) if all(_matches(field, part) for part in parts) else [value]


def _choose(field: FieldInfo, value: Any) -> str:
    """A picklist's value, by that or its label, in any case; others where the picklist is open."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = str(value) if is_number else value
    if not isinstance(text, str):
        raise ValueError(_NO_CHOICE[field.type])  # noqa: TRY004  # told like every other wrong value
    matches = _matches(field, text.strip())
    if len(matches) == 1:
        return matches[0]
    if len(matches) > 1:
        raise ValueError(
            f"may mean {' or '.join(clean_text(each, 80) for each in matches[:_CHOICES])}: name one exactly"
        )
    if is_number:
        raise ValueError(_NO_CHOICE[field.type])
    if field.restricted and field.picklist and text.strip():
        raise ValueError(f"takes only {choices(field)}")
    return text


def _matches(field: FieldInfo, text: str) -> tuple[str, ...]:
    """The values that a text may mean: the value itself, or else that of this label, or either in another case."""
    if any(each.value == text for each in field.picklist):
        return (text,)
    letters = text.casefold()
    alike = [each for each in field.picklist if letters in (each.value.casefold(), each.label.casefold())]
    exact = [each for each in alike if each.label == text]
    return tuple(dict.fromkeys(each.value for each in (exact if len(exact) == 1 else alike)))


def choices(field: FieldInfo) -> str:
    """The first values of a picklist, for people."""
    some = ", ".join(clean_text(each.value, 80) for each in field.picklist[:_CHOICES])
    return some + (", …" if len(field.picklist) > _CHOICES else "")


def _text(field: FieldInfo, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and field.relationship:
        raise ValueError(f"takes an id; a parent by its external id stands under {field.relationship}")
    raise ValueError("must be a record id" if field.type in ("id", "reference") else "must be a text")


_READERS: Mapping[str, Callable[[FieldInfo, Any], Any]] = {
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "time": _time,
    "picklist": _picklist,
    "multipicklist": _multipicklist,
    **dict.fromkeys(NUMBERS, _number),
    **dict.fromkeys(TEXTS, _text),
}

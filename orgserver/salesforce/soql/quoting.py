"""How a value becomes a SOQL literal that ends only at its own last quote."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

MAX_LITERAL = 4_000
"""Salesforce's limit for one text in a WHERE clause."""

_ESCAPES = {
    "\\": "\\\\",
    "'": "\\'",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}
_TABLE = str.maketrans(_ESCAPES)
_LIKE_TABLE = str.maketrans(_ESCAPES | {"%": "\\%", "_": "\\_"})


def literal(value: object) -> str:
    """Quote a value by its type: texts in quotes; numbers, true, false, null, dates and times as they are.

    Raises TypeError for other types, and ValueError for what has no literal: infinities, times without a zone.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError("SOQL has no literal for a number that is not finite")
        return repr(value)
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return f"'{value.translate(_TABLE)}'"
    raise TypeError(f"no SOQL literal for {type(value).__name__}")


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a time without its zone is no instant")
    utc = value.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='milliseconds' if utc.microsecond else 'seconds')}Z"


def like(text: str, *, prefix: bool, suffix: bool) -> str:
    """Quote a text for LIKE, with a wildcard before or behind it; its own wildcards mean themselves."""
    return f"'{'%' if prefix else ''}{text.translate(_LIKE_TABLE)}{'%' if suffix else ''}'"

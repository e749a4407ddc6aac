"""Masked values: so much of them that whoever knows a value recognises it, and nobody else learns it."""

from __future__ import annotations

import re
from typing import Any

from orgserver.model import times

CUT = "…"
_PHONE = re.compile(r"[+(]?[\d\s()./x+-]{4,}")
_DIGITS = 5
"""A text of fewer digits is no phone number."""
_SHORT = 2
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")


def mask(value: Any) -> Any:
    """The part of a value that may be seen; None of what has no parts: numbers, dates, true and false."""
    if not isinstance(value, str):
        return None
    if times.is_date(value) or times.is_datetime(value) or _TIME.fullmatch(value):
        return None
    local, at, domain = value.strip().rpartition("@")
    if at and local and domain and not any(map(str.isspace, value.strip())):
        return f"{_initial(local)}@{_mask_domain(domain)}"
    digits = [letter for letter in value if letter.isdigit()]
    if len(digits) >= _DIGITS and _PHONE.fullmatch(value.strip()):
        return f"{CUT}{''.join(digits[-2:])}"
    return _initial(value)


def _initial(text: str) -> str:
    """The first letter of a text, unless that would be nearly all of it."""
    return f"{text[0]}{CUT}" if len(text) > _SHORT else CUT if text else ""


def _mask_domain(domain: str) -> str:
    host, dot, top = domain.rpartition(".")
    return f"{_initial(host)}.{top}" if dot and host else _initial(domain)

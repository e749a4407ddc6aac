"""Reads a JSON text of moderate size in one go, and says why another is not read."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

MAX_DEPTH = 64
"""How deep a reply's JSON may be nested."""
_NESTED = (dict, list)


class TooCostly(ValueError):
    """This is JSON, and would take too much memory."""


class TooDeep(ValueError):
    """This is JSON, nested deeper than ``MAX_DEPTH``."""

    def __init__(self) -> None:
        super().__init__("its JSON is nested too deeply")


def read_value(content: bytes) -> Any:
    """The value of a text: what msgspec refuses, Python's reader judges; what both take is the same to both.

    ValueError where it is no JSON.
    """
    import msgspec  # noqa: PLC0415  # most commands never meet a reply

    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # half a surrogate pair, UTF-16, a byte order mark; or no JSON
    try:
        return json.loads(content, parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError):
        raise ValueError("it is not valid JSON") from None


def is_too_deep(body: Any) -> bool:
    """Whether a value holds lists and objects beyond ``MAX_DEPTH``."""
    level = [body] if isinstance(body, _NESTED) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, _NESTED)
        ]
    return bool(level)


def _number(text: str) -> float:
    """A fraction; one beyond what a float holds would be handed on as infinity, which JSON does not have."""
    number = float(text)
    return number if isfinite(number) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text[:20]} is no number of JSON")

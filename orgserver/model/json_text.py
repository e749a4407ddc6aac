"""JSON that stands in a text: read only where it has one meaning, and never deeper or longer than is bounded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

MAX_CHARACTERS = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 500_000
"""Counted by the signs that begin one. Records have fewer in so many characters; these are read in half a second."""


def read_json_text(text: str) -> Any:
    """Read a text as JSON (RFC 8259); ValueError for what is none, names a key twice, is too long, deep or much."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError("it is too long")
    if sum(map(text.count, "[{,")) > MAX_VALUES:
        raise ValueError("it holds too many values")
    try:
        content = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if is_deeper(content, MAX_DEPTH):
        raise ValueError("it is nested too deeply")
    return content


def is_deeper(content: Any, levels: int) -> bool:
    """Whether lists and objects are nested in more levels than these."""
    level = [content] if isinstance(content, dict | list) else []
    for _ in range(levels):
        if not level:
            return False
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
    return bool(level)


def _inside(outer: Any) -> Iterable[Any]:
    return outer.values() if isinstance(outer, dict) else outer


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: of two values for one key readers take different ones."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("it names a key twice")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

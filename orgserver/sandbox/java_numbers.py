"""Numbers as Salesforce writes them, like Java: ``9.0E7`` from ten million up (dataloader#1204)."""

from __future__ import annotations

import json
import re
import secrets
from decimal import Decimal
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PERHAPS = re.compile(r"\d{8}\.\d|\de[+-]\d|(?<!\d)0\.000\d")
_PLAIN_FROM, _PLAIN_TO = 1e-3, 1e7


def double(number: float) -> str:
    """A number as Java's ``Double.toString`` writes it."""
    if number == 0 or _PLAIN_FROM <= abs(number) < _PLAIN_TO:
        return repr(number)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    text = "".join(map(str, digits))
    return f"{'-' * sign}{text[0]}.{text[1:] or '0'}E{len(text) - 1 + int(exponent)}"


def encode_json(value: Any) -> str:
    """A value as JSON, its large and tiny numbers as Java writes them."""
    text = _encode(value)
    if not _PERHAPS.search(text):
        return text
    mark = secrets.token_hex(16)  # no record holds it
    return re.sub(rf'"{mark}([^"]*)"', r"\1", _encode(_marked(value, mark)))


def _marked(value: Any, mark: str) -> Any:
    """The value with a marked text in place of each number that JSON's encoder would write in another way."""
    if isinstance(value, dict):
        return {name: _marked(inner, mark) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(inner, mark) for inner in value]
    return f"{mark}{double(value)}" if isinstance(value, float) else value

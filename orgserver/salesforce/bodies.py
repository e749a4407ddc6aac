"""What a reply's body says: JSON of bounded depth, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

JSON = "application/json"
MAX_DEPTH = 64
"""How deep a reply's JSON may be nested."""
_FIRST_ERROR = 300
_LONGEST_TOKEN_REPLY = 256 * 1024
"""Real ones have 1 to 10 KB, the largest those with a JWT for an access token."""


def read(status: int, headers: Mapping[str, str], content: bytes, accept: str = JSON) -> Any:
    """The JSON of a reply, or its bytes where another kind of success was asked for; None where there is none.

    ValueError for what cannot be understood: a success that is not JSON is no answer.
    """
    if not content:
        return None
    if accept != JSON and status < _FIRST_ERROR:
        if accept not in headers.get("content-type", ""):
            raise ValueError(f"it is not {accept}")
        return content
    if "json" not in headers.get("content-type", ""):
        if status < _FIRST_ERROR:
            raise ValueError("it is not JSON")
        return None
    try:
        body = json.loads(content, parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError):
        if status < _FIRST_ERROR:
            raise ValueError("it is not valid JSON") from None
        return None
    if _too_deep(body):
        if status < _FIRST_ERROR:
            raise ValueError("it is nested too deeply")
        return None
    return body


def read_token_reply(
    status: int, headers: Mapping[str, str], content: bytes, accept: str = JSON
) -> dict[str, Any] | None:
    """The JSON object that a token endpoint answered, under whatever name it came; None where there is none.

    Nothing raises here: an answer that is half wrong may still hold the only refresh token that works.
    """
    del status, headers, accept
    if len(content) > _LONGEST_TOKEN_REPLY:
        return None
    try:
        body = json.loads(content.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _number(text: str) -> float:
    """A fraction; one beyond what a float holds would be handed on as infinity, which JSON does not have."""
    number = float(text)
    if not isfinite(number):
        return _no_number(text)
    return number


def _no_number(text: str) -> float:
    raise ValueError(f"{text[:20]} is no number of JSON")


def _too_deep(body: Any) -> bool:
    level = [body] if isinstance(body, dict | list) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
    return bool(level)


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value

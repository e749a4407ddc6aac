"""What a reply's body says: JSON of bounded depth and cost, or nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from orgserver.salesforce.protocol import bounded_json
from orgserver.salesforce.protocol.bounded_json import MAX_DEPTH, TooCostly, TooDeep

__all__ = ["JSON", "MAX_DEPTH", "TooCostly", "TooDeep", "read", "read_token_reply"]

JSON = "application/json"
_FIRST_ERROR = 300
_LONGEST_TOKEN_REPLY = 256 * 1024
"""Real ones have 1 to 10 KB, the largest those with a JWT for an access token."""
_LONGEST_SCANNED = 1024 * 1024
_MOST_SIGNS = 100_000
_SIGNS = re.compile(
    r'"refresh_token"\s*:\s*"([^"\\]*)"'
    r'|"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'  # one without its end is taken to the end, or each quote in it is tried
    r"|[{}\[\]]",
    re.DOTALL,
)
_LONGEST_REFUSAL = 1024 * 1024
"""Salesforce's refusals have some KB, those of duplicate rules with all that they found some tens."""


def read(status: int, headers: Mapping[str, str], content: bytes, accept: str = JSON) -> Any:
    """The JSON of a reply, or its bytes where another kind of success was asked for; None where there is none.

    ValueError for what cannot be understood: a success that is not JSON is no answer. TooCostly is one, too.
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
    if status >= _FIRST_ERROR:
        return _refusal(content)
    return bounded_json.parse(content)


def _refusal(content: bytes) -> Any:
    try:
        return bounded_json.parse(content) if len(content) <= _LONGEST_REFUSAL else None
    except ValueError:
        return None


def read_token_reply(
    status: int, headers: Mapping[str, str], content: bytes, accept: str = JSON
) -> dict[str, Any] | None:
    """The JSON object that a token endpoint answered, under whatever name it came; None where there is none.

    Nothing raises here: an answer that is half wrong may still hold the only refresh token that works. One that is cut
    off, too large, nested too deeply or no JSON has at most its ``refresh_token``.
    """
    del status, headers, accept
    text = content[:_LONGEST_SCANNED].decode(json.detect_encoding(content), "replace").strip()
    if not text.startswith("{"):
        return None
    if len(content) <= _LONGEST_TOKEN_REPLY:
        with suppress(ValueError, RecursionError):
            body = json.loads(text)
            return body if isinstance(body, dict) else None
    return _refresh_token_alone(text)


def _refresh_token_alone(text: str) -> dict[str, Any] | None:
    """The member ``refresh_token`` of a text that begins as an object does, if it is there and whole."""
    depth, refresh_token = 0, None
    for sign in islice(_SIGNS.finditer(text), _MOST_SIGNS):
        if sign[0] in "{[":
            depth += 1
        elif sign[0] in "}]":
            depth -= 1
            if depth == 0:
                break
        elif depth == 1:
            refresh_token = sign[1] or refresh_token
    return {"refresh_token": refresh_token} if refresh_token is not None else None

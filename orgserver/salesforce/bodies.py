"""What a reply's body says: JSON of bounded depth and cost, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orgserver.salesforce import parsing
from orgserver.salesforce.parsing import MAX_DEPTH, TooCostly, TooDeep

__all__ = ["JSON", "MAX_DEPTH", "TooCostly", "TooDeep", "read", "read_token_reply"]

JSON = "application/json"
_FIRST_ERROR = 300
_LONGEST_TOKEN_REPLY = 256 * 1024
"""Real ones have 1 to 10 KB, the largest those with a JWT for an access token."""
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
    return parsing.parse(content)


def _refusal(content: bytes) -> Any:
    try:
        return parsing.parse(content) if len(content) <= _LONGEST_REFUSAL else None
    except ValueError:
        return None


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

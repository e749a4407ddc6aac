"""The body of a request, bounded while it comes in."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json
from starlette.types import Receive

from orgserver.serving.http.replies import Reply, make_error_reply

MOST_VALUES = 100_000
"""In one message: as many as the largest change has, and few enough to be read while others wait."""
_SIGNS = (b"[", b"{", b",")
_CLOSE = ((b"connection", b"close"),)
_TOO_MANY_VALUES = make_error_reply(413, f"a message holds at most {MOST_VALUES:,} values")


class Gone(Exception):
    """The client left before it had said all."""


async def read_body(receive: Receive, content_length: int, max_body: int) -> bytes | Reply:
    """Read it; or the reply to one that is too long, of which the rest is not read, or that holds too much."""
    if content_length > max_body:
        return _refuse(max_body)
    parts: list[bytes] = []
    length, has_more = 0, True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        part = message.get("body", b"")
        length += len(part)
        if length > max_body:
            return _refuse(max_body)
        parts.append(part)
        has_more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    return _TOO_MANY_VALUES if has_many_values(body) else body


def has_many_values(body: bytes, most: int = MOST_VALUES) -> bool:
    """Whether JSON may hold more values than that, by the signs that begin one, in its texts too."""
    return len(body) > most and count_values(body) > most


def count_values(body: bytes) -> int:
    """At most how many values JSON holds, by those signs; a part of it, too."""
    return sum(map(body.count, _SIGNS))


def read_object(body: bytes, most_values: int = MOST_VALUES) -> dict[str, Any]:
    """The JSON object that a body is; an empty one where it is none, or holds too much: who answers it says why."""
    try:
        message = from_json(body) if body and not has_many_values(body, most_values) else None
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _refuse(max_body: int) -> Reply:
    return make_error_reply(413, f"a message has at most {max_body:,} bytes", headers=_CLOSE)

"""The body of a request, bounded while it comes in."""

from __future__ import annotations

from starlette.types import Receive

from orgserver.serving.http.replies import Reply, make_error_reply

MOST_VALUES = 100_000
"""In one message: as many as the largest change has, and few enough to be read while others wait."""
_SIGNS = (b"[", b"{", b",")
_CLOSE = ((b"connection", b"close"),)
_MUCH = make_error_reply(413, f"a message holds at most {MOST_VALUES:,} values")


class Gone(Exception):
    """The client left before it had said all."""


async def read_body(receive: Receive, said_length: int, max_body: int) -> bytes | Reply:
    """Read it; or the reply to one that is too long, of which the rest is not read, or that holds too much."""
    if said_length > max_body:
        return _refuse(max_body)
    parts: list[bytes] = []
    length, is_more = 0, True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        part = message.get("body", b"")
        length += len(part)
        if length > max_body:
            return _refuse(max_body)
        parts.append(part)
        is_more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    return _MUCH if has_many_values(body) else body


def has_many_values(body: bytes, most: int = MOST_VALUES) -> bool:
    """Whether JSON may hold more values than that, by the signs that begin one, in its texts too."""
    return len(body) > most and sum(map(body.count, _SIGNS)) > most


def _refuse(max_body: int) -> Reply:
    return make_error_reply(413, f"a message has at most {max_body:,} bytes", headers=_CLOSE)

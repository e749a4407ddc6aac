"""The body of a request, bounded while it comes in."""

from __future__ import annotations

from starlette.types import Receive

from orgserver.serving.http.replies import Reply, make_error_reply

_CLOSE = ((b"connection", b"close"),)


class Gone(Exception):
    """The client left before it had said all."""


async def read_body(receive: Receive, said_length: int, max_body: int) -> bytes | Reply:
    """Read it; or the reply to one that is too long, of which the rest is not read."""
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
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _refuse(max_body: int) -> Reply:
    return make_error_reply(413, f"a message has at most {max_body:,} bytes", headers=_CLOSE)

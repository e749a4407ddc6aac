"""Replies that need no MCP: a status, a few headers, and a short body."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from mcp_types import INVALID_REQUEST
from starlette.types import Send

from orgserver.model.server_paths import MCP_PATH

JSON = b"application/json"
JSON_ANSWER = "orgserver.json_answer"
"""A message of ASGI of our own: a ``body`` of JSON that answers with 200, and is whole. Who takes it says so among the
extensions of a request's scope."""
WRONG_HOST = "this host is not served here; --allow-host names it"
_TEXT = b"text/plain; charset=utf-8"
_NO_CONTENT = 204
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent in answer to one request."""

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    headers: Headers = ()
    chunks: AsyncGenerator[bytes, None] | None = None
    """In place of a body whose length is not known yet."""


def make_text_reply(status: int, text: str, headers: Headers = ()) -> Reply:
    """A line for people."""
    return Reply(status, f"{text}\n".encode(), _TEXT, headers)


def make_error_reply(status: int, message: str, *, code: int = INVALID_REQUEST, headers: Headers = ()) -> Reply:
    """A refusal of a request to ``/mcp`` in JSON-RPC's form, of which no id is known."""
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return Reply(status, json.dumps(error).encode(), JSON, headers)


def make_not_found_reply(*, has_accounts: bool = False) -> Reply:
    """For a path at which nothing is; ``has_accounts``: people sign in here."""
    accounts = ", and people sign in at /me" if has_accounts else ""
    return make_text_reply(404, f"nothing is here; MCP is at {MCP_PATH}{accounts}")


def retry_after(seconds: float) -> Headers:
    """The header that says when to try again: in a second, at least."""
    return ((b"retry-after", str(max(math.ceil(seconds), 1)).encode()),)


async def send_reply(send: Send, reply: Reply) -> None:
    """Send it whole."""
    if reply.chunks is not None:
        await _send_chunks(send, reply, reply.chunks)
        return
    headers = list(reply.headers)
    if reply.status != _NO_CONTENT:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    if reply.body:
        headers.append((b"content-type", reply.content_type))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _send_chunks(send: Send, reply: Reply, chunks: AsyncGenerator[bytes, None]) -> None:
    headers = [*reply.headers, (b"content-type", reply.content_type)]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    async with aclosing(chunks):
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

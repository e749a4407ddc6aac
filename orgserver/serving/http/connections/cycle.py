"""One request and its answer, as uvicorn has them; what is whole is written in one step."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from orgserver.serving.http.connections.joined_writes import JoinedWrites
from orgserver.serving.http.replies import JSON_ANSWER, Reply

_OK = 200
_CLOSE = b"connection: close\r\n"


class Cycle(RequestResponseCycle):
    """A request that a connection has the head of, until it is answered."""

    transport: JoinedWrites  # type: ignore[assignment]  # what it uses of one

    async def send(self, message: Any) -> None:
        """Send a part of the answer, or all of it."""
        if message["type"] != JSON_ANSWER:
            await super().send(message)
            return
        if self.response_started:
            raise RuntimeError("an answer was sent after another had begun")
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self._write_answer(message["body"])

    def _write_answer(self, body: bytes) -> None:
        """Write a good answer of JSON, whose headers are always the same, and be done."""
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        usual = b"".join([b"%b: %b\r\n" % header for header in self.default_headers])
        connection = b"" if self.keep_alive else _CLOSE
        head = b"%b%bcontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
        self.transport.write_now(head % (STATUS_LINE[_OK], usual, len(body), connection) + body)
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def make_scope(
    server: tuple[str, int | None] | None, client: tuple[str, int] | None, scheme: str | None
) -> dict[str, Any]:
    """What is the same of all requests that come over a connection."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "server": server,
        "client": client,
        "scheme": scheme,
        "root_path": "",
        "extensions": {JSON_ANSWER: {}},
    }


def read_target(url: bytes) -> dict[str, Any]:
    """What the scope of a request has of its target."""
    target = httptools.parse_url(url)
    path = target.path.decode("ascii")
    return {
        "path": unquote(path) if "%" in path else path,
        "raw_path": target.path,
        "query_string": target.query or b"",
    }


def render_refusal(reply: Reply, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A reply, behind which the connection is closed."""
    lines = [
        *headers,
        *reply.headers,
        (b"content-type", reply.content_type),
        (b"content-length", str(len(reply.body)).encode()),
        (b"connection", b"close"),
    ]
    head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    return b"".join((STATUS_LINE[reply.status], head, b"\r\n", reply.body))

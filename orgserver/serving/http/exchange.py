"""One request and what was sent in answer to it so far."""

from __future__ import annotations

import time

from starlette.types import Message, Scope, Send

from orgserver.serving.http.replies import JSON_ANSWER, Headers, Reply, send_reply

_OK = 200
_REQUEST_ID = "orgserver.request_id"
_LONGEST = 80


class Exchange:
    """Sends the answer to one request, and remembers of both what is told afterwards."""

    __slots__ = (
        "_began", "_send", "headers", "is_limited", "key_id", "principal", "scope", "sent_bytes",
        "source", "status",
    )  # fmt: skip

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self._send = send
        self._began = time.perf_counter()
        client = scope.get("client")
        self.source: str = client[0] if client else ""
        """Where it came from, as far as that is known by now."""
        self.headers: Headers = ()
        """Of the answer, beside its own."""
        self.principal: str | None = None
        self.key_id: str | None = None
        self.is_limited = False
        """Whether it came too soon, or beside too many."""
        self.status = 0
        """Of the answer; 0 until one has begun."""
        self.sent_bytes = 0
        """Of its body."""

    @property
    def request_id(self) -> str | None:
        """Of the message in it, where it was read."""
        request_id: str | None = self.scope.get(_REQUEST_ID)
        return request_id

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.perf_counter() - self._began

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == JSON_ANSWER:
            if self.headers:  # which only an answer in parts has a place for
                await send_reply(self.send, Reply(_OK, message["body"]))
                return
            self.status, self.sent_bytes = _OK, len(message["body"])
        elif message["type"] == "http.response.start":
            self.status = message["status"]
            if self.headers:
                message = {**message, "headers": [*message.get("headers", ()), *self.headers]}
        else:
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)


def note_request_id(scope: Scope, request_id: str | int) -> None:
    """Remember of which message a request is the carrier."""
    scope[_REQUEST_ID] = str(request_id)[:_LONGEST]

"""One request and what was sent in answer to it so far."""

from __future__ import annotations

import time

from starlette.types import Message, Scope, Send


class Exchange:
    """Sends the answer to one request, and remembers of it what is told afterwards."""

    __slots__ = ("_send", "began", "is_complete", "scope", "sent_bytes", "status")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self._send = send
        self.began = time.perf_counter()
        self.status = 0
        """Of the answer; 0 until one has begun."""
        self.sent_bytes = 0
        """Of its body."""
        self.is_complete = False

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.sent_bytes += len(message.get("body", b""))
            self.is_complete = not message.get("more_body", False)
        await self._send(message)

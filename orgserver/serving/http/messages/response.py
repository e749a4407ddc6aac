"""The response to one call: JSON; or a stream of events, once there is something to tell before the answer.

A call that is silent for long becomes a stream, too, so that whatever stands between does not take it for dead.
"""

from __future__ import annotations

import asyncio

from mcp.shared.message import SessionMessage
from starlette.types import Scope, Send

from orgserver.serving.envelopes import Response
from orgserver.serving.http.replies import JSON_ANSWER, Reply, send_reply
from orgserver.serving.messages import encode_message

_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
)
_PING = b": ping\r\n\r\n"


class CallResponse:
    """Sends what a call tells, and its answer."""

    __slots__ = ("_is_stream", "_lock", "_send", "_takes_events", "_takes_json")

    def __init__(self, scope: Scope, send: Send, *, takes_events: bool) -> None:
        self._send = send
        self._takes_events = takes_events
        self._takes_json = JSON_ANSWER in scope.get("extensions", ())
        """Whether what sends takes an answer in one message."""
        self._is_stream = False
        self._lock: asyncio.Lock | None = None
        """One event after the other, where several tasks have something to tell."""

    async def send(self, item: SessionMessage, /) -> None:
        """Tell something before the answer; it is dropped where the client takes nothing but the answer."""
        if self._takes_events:
            await self._send_event(_encode_event(encode_message(item.message)))

    async def ping(self) -> None:
        """Show that the call is under way."""
        if self._takes_events:
            await self._send_event(_PING)

    async def finish(self, response: Response) -> None:
        """Send the answer."""
        body = response if isinstance(response, bytes) else encode_message(response)
        if self._is_stream:
            await self._send_event(_encode_event(body), is_last=True)
            return
        self._takes_events = False
        if self._takes_json:
            await self._send({"type": JSON_ANSWER, "body": body})
        else:
            await send_reply(self._send, Reply(200, body))

    async def _send_event(self, event: bytes, *, is_last: bool = False) -> None:
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if not self._takes_events:  # the answer is out
                return
            if not self._is_stream:
                self._is_stream = True
                headers = list(_STREAM_HEADERS)
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            self._takes_events = not is_last
            await self._send({"type": "http.response.body", "body": event, "more_body": not is_last})


def _encode_event(message: bytes) -> bytes:
    return b"event: message\r\ndata: " + message + b"\r\n\r\n"

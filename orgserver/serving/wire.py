"""JSON-RPC lines as the message streams that the SDK's server reads and writes.

The server works on these directly: no task, queue or thread stands between a line and the code that handles it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError
from pydantic_core import from_json

from orgserver.serving.ending import Ending

logger = logging.getLogger("orgserver.serving")

MAX_LINE = 16 * 1024 * 1024
"""Far above any honest request; Salesforce takes 6 MB at most for one record."""
DRAIN_SECONDS = 60.0
"""A call has ended by then: its own limit is shorter (``ORGSERVER_CALL_TIMEOUT``)."""


class LineTooLong(Exception):
    """A line was longer than ``MAX_LINE``; it was skipped."""


class Lines(Protocol):
    """Where lines come from."""

    async def line(self) -> bytes:
        """The next line, empty at the end; LineTooLong for one that was skipped."""

    def end(self) -> None:
        """From now on it is the end, whatever the client still writes."""


class Sink(Protocol):
    """Where bytes go."""

    async def write(self, data: bytes) -> None:
        """Write, and wait while the other side is slow; OSError when it is gone."""


class _Open:
    """The requests that were read and are not answered yet."""

    def __init__(self) -> None:
        self._ids: Counter[object] = Counter()
        self.none = asyncio.Event()
        self.none.set()

    def add(self, message: JSONRPCMessage) -> None:
        """Note what came in: a request opens, its cancellation closes it unanswered."""
        if isinstance(message, JSONRPCRequest):
            self._ids[message.id] += 1
            self.none.clear()
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self.close((message.params or {}).get("requestId"))

    def close(self, request_id: object) -> None:
        """Note that a request is over."""
        if not isinstance(request_id, str | int):
            return
        self._ids[request_id] -= 1
        if self._ids[request_id] <= 0:
            del self._ids[request_id]
        if not self._ids:
            self.none.set()

    async def drained(self) -> None:
        """Wait until every request is answered."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self.none.wait()
        except TimeoutError:
            logger.warning("the client left while calls did not end", extra={"count": self._ids.total()})


class _Stream:
    """What the SDK asks of both directions."""

    async def aclose(self) -> None:
        """The descriptors are closed by whoever opened them."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


class Outgoing(_Stream):
    """Messages to the client."""

    def __init__(self, sink: Sink, requests: _Open) -> None:
        self._sink = sink
        self._requests = requests

    async def send(self, item: SessionMessage, /) -> None:
        """Write one message; BrokenResourceError when the client is gone."""
        message = item.message
        try:
            await self._sink.write(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        except OSError:
            raise anyio.BrokenResourceError from None
        finally:
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                self._requests.close(message.id)


class Incoming(_Stream):
    """Messages from the client. When it closes its end, its calls are answered first."""

    def __init__(self, lines: Lines, requests: _Open, outgoing: Outgoing) -> None:
        self._lines = lines
        self._requests = requests
        self._outgoing = outgoing
        self._ending: Ending | None = None

    def end(self, ending: Ending) -> None:
        """Read no more, and end when what was read is answered; ``ending`` says how long that may take."""
        self._ending = ending
        self._lines.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> SessionMessage | Exception:
        """Read one message; EndOfStream when the client has left. What is no message is answered here."""
        while True:
            try:
                line = await self._lines.line()
            except LineTooLong:
                await self._refuse(None, INVALID_REQUEST, f"a message has at most {MAX_LINE:,} bytes")
                continue
            if self._ending is not None or not line:
                # The SDK cancels what is under way once its stream ends: a change would be left unknown for nothing.
                await self._drained()
                raise anyio.EndOfStream
            if line.isspace():
                continue
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValidationError:
                await self._refuse(*_explained(line))
                continue
            self._requests.add(message)
            return SessionMessage(message)

    async def _drained(self) -> None:
        if self._ending is not None:
            await self._ending.drain(self._requests.none)
        else:
            await self._requests.drained()

    async def _refuse(self, request_id: str | int | None, code: int, why: str) -> None:
        """Answer what cannot be handled; the SDK would leave the client waiting."""
        logger.warning("a line was no message: %s", why)
        error = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=why))
        try:
            await self._outgoing.send(SessionMessage(error))
        except anyio.BrokenResourceError:
            logger.debug("nobody was there to be told")


def streams(lines: Lines, sink: Sink) -> tuple[Incoming, Outgoing]:
    """Both directions of one connection."""
    requests = _Open()
    outgoing = Outgoing(sink, requests)
    return Incoming(lines, requests, outgoing), outgoing


def _explained(line: bytes) -> tuple[str | int | None, int, str]:
    """Say why a line is no message, and whose it was; never what it held."""
    try:
        found: Any = from_json(line)
    except ValueError:
        return None, PARSE_ERROR, "this line is not JSON"
    if isinstance(found, list):
        return None, INVALID_REQUEST, "batches are not part of MCP; send one message a line"
    if not isinstance(found, dict) or "method" not in found:
        return None, INVALID_REQUEST, "this line is not a JSON-RPC message"
    request_id = found.get("id")
    known = request_id if isinstance(request_id, str | int) and not isinstance(request_id, bool) else None
    return known, INVALID_REQUEST, "this line is not a JSON-RPC 2.0 request"

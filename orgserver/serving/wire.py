"""JSON-RPC lines as the message streams that the SDK's server reads and writes.

The server works on these directly: no task, queue or thread stands between a line and the code that handles it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Protocol, Self

import anyio
from mcp.shared.dispatcher import as_request_id, coerce_request_id
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
)
from mcp_types.jsonrpc import RequestId

from orgserver.serving.envelopes import Response
from orgserver.serving.fragments import MAX_LINE, LineTooLong, read_fragment
from orgserver.serving.messages import Unreadable, encode_message, read_message
from orgserver.serving.plain_calls import PlainCalls
from orgserver.serving.shutdown import Ending

logger = logging.getLogger("orgserver.serving")

_DISCOVER = "server/discover"
_CALLS_A_TURN = 16
"""How many calls may begin in one turn of the event loop: lines that have come already are read without a pause."""
DRAIN_SECONDS = 60.0
"""A call has ended by then: its own limit is shorter (``ORGSERVER_CALL_TIMEOUT``)."""


Refused = Callable[[str | None, str | int | None], Awaitable[None]]
"""Puts a tool call that could not be read on record: the tool's name and the request's id, where they are known."""


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
    """The requests that were read and are not answered yet, by their ids; 7 and "7" are one, as for the SDK."""

    def __init__(self) -> None:
        self._ids: Counter[RequestId] = Counter()
        self.none = asyncio.Event()
        self.none.set()

    def __contains__(self, request_id: RequestId) -> bool:
        return coerce_request_id(request_id) in self._ids

    def add(self, message: JSONRPCMessage) -> None:
        """Note what came in: a request opens, its cancellation closes it unanswered."""
        if isinstance(message, JSONRPCRequest):
            self.open(message.id)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self.close(as_request_id((message.params or {}).get("requestId")))

    def open(self, request_id: RequestId) -> None:
        """Note that a request was read."""
        self._ids[coerce_request_id(request_id)] += 1
        self.none.clear()

    def close(self, request_id: RequestId | None) -> None:
        """Note that a request is over."""
        if request_id is None:
            return
        request_id = coerce_request_id(request_id)
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
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            await self.answer(message.id, message)
        else:
            await self._write(encode_message(message))

    async def answer(self, request_id: RequestId, response: Response) -> None:
        """Write the response to a request; BrokenResourceError when the client is gone."""
        try:
            await self._write(response if isinstance(response, bytes) else encode_message(response))
        finally:
            self._requests.close(request_id)

    async def refuse(self, problem: Unreadable) -> None:
        """Answer a line that is no message. Its id may be one that another request has: that one stays open."""
        error = {"code": problem.code, "message": str(problem)}
        # In ASCII, for an id may hold half a surrogate pair, which JSON can spell and UTF-8 cannot.
        await self._write(json.dumps({"jsonrpc": "2.0", "id": problem.request.id, "error": error}).encode())

    async def _write(self, line: bytes) -> None:
        try:
            await self._sink.write(line + b"\n")
        except OSError:
            raise anyio.BrokenResourceError from None


class Incoming(_Stream):
    """Messages from the client. When it closes its end, its calls are answered first."""

    def __init__(
        self,
        lines: Lines,
        requests: _Open,
        outgoing: Outgoing,
        refused: Refused | None = None,
        plain: PlainCalls | None = None,
    ) -> None:
        self._lines = lines
        self._requests = requests
        self._outgoing = outgoing
        self._refused = refused
        self._plain = plain
        self._ending: Ending | None = None
        self._starting = 0
        """How many calls were started since others last had their turn."""
        self._asked: str | None = None
        """The method of the last request, until one has decided the generation of the protocol."""
        self._handshake: JSONRPCRequest | None = None

    def begins_anew(self) -> bool:
        """Whether a client whose discovery took too long went on with the handshake, which is then read first.

        From 2026-07-28 on a client may ask ``server/discover`` to learn what a server speaks, and falls back to
        ``initialize`` when no answer comes in time (Vercel's AI SDK waits a second, which a start may take). The SDK
        serves one connection in one generation of the protocol, the one of its first request.
        """
        return self._handshake is not None

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
        if self._handshake is not None:
            handshake, self._handshake = self._handshake, None
            self._requests.add(handshake)
            return SessionMessage(handshake)
        while True:
            try:
                line = await self._lines.line()
                if self._ending is not None or not line:
                    # The SDK cancels what is under way once its stream ends: a change would be left unknown.
                    await self._drained()
                    raise anyio.EndOfStream
                if line.isspace():
                    continue
                if await self._begin_plain_call(line):
                    continue
                message = read_message(line)
            except LineTooLong as long:
                why = f"a message has at most {MAX_LINE:,} bytes"
                await self._refuse(Unreadable(INVALID_REQUEST, why, read_fragment(long.head, long.tail)))
                continue
            except Unreadable as problem:
                await self._refuse(problem)
                continue
            if self._is_late_handshake(message):
                await self._drained()
                self._observe(message)
                raise anyio.EndOfStream
            self._observe(message)
            self._requests.add(message)
            return SessionMessage(message)

    def _observe(self, message: JSONRPCMessage) -> None:
        if self._plain is not None:
            self._plain.observe(message)

    async def _begin_plain_call(self, line: bytes) -> bool:
        """Let a call be answered that needs nothing of the SDK, which knows what to do with two requests of one id."""
        call = self._plain.read(line) if self._plain is not None else None
        if self._plain is None or call is None or call.id in self._requests:
            await self._let_calls_begin()  # for this may cancel one
            return False
        self._asked = "tools/call"
        self._requests.open(call.id)
        self._plain.start(call, self._outgoing)
        self._starting += 1
        if self._starting == _CALLS_A_TURN:
            await self._let_calls_begin()
        return True

    async def _let_calls_begin(self) -> None:
        if self._starting:
            self._starting = 0
            await asyncio.sleep(0)

    def _is_late_handshake(self, message: JSONRPCMessage) -> bool:
        """Whether this is the handshake of a client that has asked for nothing but ``server/discover``."""
        if not isinstance(message, JSONRPCRequest) or self._asked not in (None, _DISCOVER):
            return False
        if self._asked == _DISCOVER and message.method == "initialize":
            self._handshake = message
        self._asked = message.method
        return self._handshake is not None

    async def _drained(self) -> None:
        if self._ending is not None:
            await self._ending.drain(self._requests.none)
        else:
            await self._requests.drained()

    async def _refuse(self, problem: Unreadable) -> None:
        """Answer what cannot be handled; the SDK would leave the client waiting."""
        logger.warning("a line was no message: %s", problem)
        if self._refused is not None and problem.request.method == "tools/call":
            await self._refused(problem.request.tool, problem.request.id)
        try:
            await self._outgoing.refuse(problem)
        except anyio.BrokenResourceError:
            logger.debug("nobody was there to be told")


def streams(
    lines: Lines, sink: Sink, refused: Refused | None = None, plain: PlainCalls | None = None
) -> tuple[Incoming, Outgoing]:
    """Both directions of one connection; ``refused`` hears of tool calls that cannot be read.

    ``plain`` answers calls past the SDK, which answers all of them where it is None.
    """
    requests = _Open()
    outgoing = Outgoing(sink, requests)
    return Incoming(lines, requests, outgoing, refused, plain), outgoing

"""What a client writes while its server is still being made: answered where an answer is ready, or read once it is.

The SDK then begins with the lines that it must have read, such as the handshake. What it answers to them is not written
again, and before it has answered one it gets no other: so no answer is taken for another, whatever ids a client has.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from orgserver.serving.descriptors import taken_over
from orgserver.serving.early.answers import EarlyAnswers
from orgserver.serving.fragments import LineTooLong, read_fragment

if TYPE_CHECKING:
    from orgserver.serving.wire import Lines, Sink

logger = logging.getLogger("orgserver.serving")

_INTERNAL_ERROR = -32603
_NOT_STARTED = "the server did not start; what it wrote to standard error says why"
_PAUSE_SECONDS = 0.005
"""A client that goes on by itself has written its next line by then."""
_AT_ONCE_SECONDS = 0.05
_REFUSING_SECONDS = 1.0
"""For telling all who wait, when nobody may be there to read it."""


class EarlyLines:
    """The lines of a client from before there is a server, and what is written to it."""

    def __init__(self, lines: Lines, sink: Sink, answers: EarlyAnswers) -> None:
        self._lines = lines
        self._sink = sink
        self._answers = answers
        self._reading: asyncio.Task[bytes] | None = None
        """The next line that is not answered, or will be."""
        self._is_handed_over = False
        self.pause = asyncio.Event()
        """Set when there was nothing to answer for a moment."""
        self._answering = asyncio.create_task(self._answer())

    async def hand_over(self) -> tuple[Lines, Sink]:
        """Answer no more; the lines and the sink of the SDK."""
        await self._stop()
        self._is_handed_over = True
        reading, self._reading = self._reading, None
        replay = _Replay(self._lines, self._sink, self._answers.replay, reading)
        del self._answers  # which nobody needs any more, and a server may live long
        return replay, replay

    async def refuse(self) -> None:
        """Say to every request that has come and waits that there will be no server, as long as somebody reads it."""
        await self._stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(_REFUSING_SECONDS):
                await self._refuse_each()

    async def _refuse_each(self) -> None:
        while not self._is_handed_over and (line := await self._next_at_once()):
            request = read_fragment(line)
            if request.id is not None and request.method is not None:
                error = {"code": _INTERNAL_ERROR, "message": _NOT_STARTED}
                response = {"jsonrpc": "2.0", "id": request.id, "error": error}
                with suppress(OSError):
                    await self._sink.write(json.dumps(response).encode() + b"\n")

    async def _answer(self) -> None:
        """Answer one line after the other, until one comes that only the SDK can answer."""
        try:
            while await self._has_line():
                answer = self._answers.answer(self._begin_reading().result())
                if answer is None:
                    return
                self._reading = None
                if answer:
                    await self._sink.write(answer)
        except OSError:
            logger.debug("nobody was there to be answered")
        finally:
            self.pause.set()

    async def _has_line(self) -> bool:
        """Wait for a line; False for one that is too long."""
        reading = self._begin_reading()
        await asyncio.wait({reading}, timeout=_PAUSE_SECONDS)
        if not reading.done():
            self.pause.set()
            await asyncio.wait({reading})
        return reading.exception() is None

    def _begin_reading(self) -> asyncio.Task[bytes]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._lines.line())
        return self._reading

    async def _stop(self) -> None:
        """Answer no more. An answer that waits for a client to read is on its way, and a line that came stays here."""
        self._answering.cancel()
        await asyncio.wait({self._answering})

    async def _next_at_once(self) -> bytes:
        """A line that is there already; empty where there is none."""
        reading = self._begin_reading()
        self._reading = None
        try:
            async with asyncio.timeout(_AT_ONCE_SECONDS):
                return await reading
        except TimeoutError:
            return b""
        except LineTooLong as long:
            return long.head


class _Replay:
    """Lines and sink of the SDK: first what it must have read, whose answers the client has, then the rest."""

    def __init__(self, lines: Lines, sink: Sink, replay: list[tuple[bytes, bool]], reading: Any) -> None:
        self._lines = lines
        self._sink = sink
        self._replay = deque(replay)
        self._reading: asyncio.Task[bytes] | None = reading
        self._is_answered = asyncio.Event()
        self._is_answered.set()
        self.line: Callable[[], Coroutine[Any, Any, bytes]] = self._first_line
        self.write: Callable[[bytes], Coroutine[Any, Any, None]] = self._first_write

    def end(self) -> None:
        """From now on it is the end, whatever the client still writes."""
        self._lines.end()

    async def _first_line(self) -> bytes:
        await self._is_answered.wait()
        if self._replay:
            line, is_request = self._replay.popleft()
            if is_request:
                self._is_answered.clear()
            return line
        self.line, self.write = self._lines.line, self._sink.write  # nothing stands between from now on
        return await (self._reading or self._lines.line())

    async def _first_write(self, data: bytes) -> None:
        if self._is_answered.is_set():
            await self._sink.write(data)
        self._is_answered.set()


@asynccontextmanager
async def open_early_lines(answers: EarlyAnswers) -> AsyncIterator[EarlyLines]:
    """Take over standard input and output, and begin to answer. Not on Windows."""
    async with taken_over() as (lines, sink):
        early_lines = EarlyLines(lines, sink, answers)
        del answers
        try:
            yield early_lines
        except BaseException:
            await early_lines.refuse()
            raise

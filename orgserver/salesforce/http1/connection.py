"""One connection to an org's host: it writes a request and reads its reply, once, and nothing is ever repeated here."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Final, cast

from orgserver.salesforce.http1.failures import ReplyLost
from orgserver.salesforce.http1.reply_body import MAX_BODY, ReplyBody, too_large, unpack_small
from orgserver.salesforce.http1.reply_parser import ReplyParser
from orgserver.salesforce.http1.requests import Grow, HttpReply, HttpRequest, Origin

PIECE: Final = 64 * 1024
"""So much of a body is written, or waits to be taken, before anybody looks again."""
_PROVE_THEIR_END: Final = frozenset({"gzip", "x-gzip", "deflate"})
_OF_ITS_WAY: Final = ("content-encoding", "content-length", "transfer-encoding")
"""Headers that are true of a body only on its way."""
_ENDED: Final = "the connection ended before the answer"


class Connection(asyncio.Protocol):
    """A connection that was made; it carries one request at a time.

    One timer serves it all its life: while a reply is awaited it bounds the silence, in between how long it is kept.
    """

    def __init__(self, origin: Origin, on_end: Callable[[Connection], None]) -> None:
        self.origin = origin
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._event: asyncio.Future[None] | None = None
        """What the exchange under way waits for: that it can go on."""
        self._failure: str | None = None
        self._carrying = False
        self._writable = True
        self._readable = True
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._patience = 0.0
        self._last_sign = self._loop.time()
        """When something last came or went."""
        self._poll: select.poll | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()

    # -- what the pool asks

    def is_usable(self, *, fresh: bool) -> bool:
        """Whether a request may be written: nobody has closed it, nor said anything that was not asked for.

        The socket itself is asked, too: the event loop may not have come to it yet. Not over ``fresh`` TLS, where
        tickets to come back with are on their way.
        """
        transport = self._transport
        if transport is None or transport.is_closing() or not self._parser.reusable:
            return False
        return self._poll is None or (fresh and self.origin.secure) or not self._poll.poll(0)

    async def exchange(self, request: HttpRequest, head: bytes, *, seconds: float, grow: Grow | None) -> HttpReply:
        """Write a request and read its reply; silence may last so many ``seconds``.

        Whatever happens to it from here on, it may have arrived. Raises ReplyLost; the connection is closed then, and
        when the caller is cancelled.
        """
        transport = self._transport
        assert transport is not None  # noqa: S101  # it was usable a moment ago
        self._carrying = request.written = True
        self._parser.expect(bodiless=request.method == "HEAD")
        self._expect_sign_within(seconds)
        reply = None
        failure = ""
        try:
            reply = await self._receive(transport, request, head, grow)
        except ReplyLost as error:
            failure = str(error)
        finally:
            self._carrying = False
            self._event = None
            if reply is None or not self._parser.reusable:
                self.abort()
        if reply is None:
            raise ReplyLost(failure)  # what was raised first would keep the reply in memory
        return reply

    def keep(self, seconds: float) -> bool:
        """Be ready for the next request, for a while; false if there can be none."""
        if not self._parser.reusable:
            return False
        self._expect_sign_within(seconds)
        return True

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- one exchange

    async def _receive(
        self, transport: asyncio.Transport, request: HttpRequest, head: bytes, grow: Grow | None
    ) -> HttpReply:
        parser = self._parser
        unwritten = self._begin(transport, head, request.body)
        body: ReplyBody | None = None
        while not parser.complete:
            if unwritten and self._writable:
                transport.write(unwritten[:PIECE])
                unwritten = unwritten[PIECE:]
                continue
            if parser.pending and parser.received > PIECE:
                body = body or ReplyBody(parser.headers.get("content-encoding"), grow)
                await body.add(parser.take())
                self._resume_reading(transport)
            else:
                await self._next_event()
            if self._failure is not None and not parser.complete:
                raise ReplyLost(self._failure)
        if unwritten:  # an early answer: the rest will not be written, so nothing else can be
            parser.reusable = False
        headers, rest = parser.headers, parser.take()
        content = unpack_small(headers.get("content-encoding"), rest) if body is None else None
        if content is None:
            body = body or ReplyBody(headers.get("content-encoding"), grow)
            await body.add(rest)
            content = await body.content()
        self._resume_reading(transport)
        for name in _OF_ITS_WAY:
            headers.pop(name, None)
        return HttpReply(parser.status, headers, content)

    @staticmethod
    def _begin(transport: asyncio.Transport, head: bytes, body: bytes) -> memoryview:
        """Write the head, with the body if it is small; what is left to write."""
        if len(body) <= PIECE:
            transport.write(head + body)
            return memoryview(b"")
        transport.write(head)
        return memoryview(body)

    async def _next_event(self) -> None:
        if self._failure is None:
            self._event = self._loop.create_future()
            await self._event

    def _wake(self) -> None:
        event = self._event
        if event is not None and not event.done():
            event.set_result(None)

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = reason
        self._parser.reusable = False
        self._wake()

    def _resume_reading(self, transport: asyncio.Transport) -> None:
        if not self._readable:
            self._readable = True
            self._last_sign = self._loop.time()
            if not transport.is_closing():
                transport.resume_reading()

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # a stream's has both sides; uvloop's is none by class
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Some of the reply came, or something that nobody asked for."""
        if not self._carrying:
            self._parser.reusable = False
            self.abort()
            return
        self._last_sign = self._loop.time()
        parser = self._parser
        failure = parser.feed(data)
        if failure is None and parser.received > MAX_BODY:
            failure = str(too_large())
        if failure is not None:
            self._fail(failure)
            self.abort()
        elif parser.complete:
            self._wake()
        elif parser.received > PIECE:  # a small reply is read at its end
            self._wake()
            if parser.pending > PIECE and self._transport is not None:
                self._readable = False
                self._transport.pause_reading()

    def eof_received(self) -> None:
        """The other side sends nothing more; it closes the connection, too."""
        parser = self._parser
        # TLS does not prove who has ended a connection: a body without a length must say itself where it ends
        whole = not self.origin.secure or parser.headers.get("content-encoding", "").lower() in _PROVE_THEIR_END
        if parser.end(whole=whole):
            self._wake()
        else:
            self._fail(_ENDED)
            self.abort()  # closing would first wait until the other side has taken all that was written

    def connection_lost(self, _error: Exception | None) -> None:
        """Nothing comes or goes any more."""
        self._fail(_ENDED)
        self._transport = self._poll = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.ended.done():
            self.ended.set_result(None)
        self._on_end(self)

    def pause_writing(self) -> None:
        """The other side takes nothing more for now."""
        self._writable = False

    def resume_writing(self) -> None:
        """It takes more again."""
        self._writable = True
        self._last_sign = self._loop.time()
        self._wake()

    # -- the timer

    def _expect_sign_within(self, seconds: float) -> None:
        """Set the timer, unless it goes off earlier anyway: it is then set anew, so an exchange mostly costs none."""
        self._patience = seconds
        self._last_sign = self._loop.time()
        due = self._last_sign + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        now = self._loop.time()
        if self._carrying and not self._readable:
            self._last_sign = now  # it is we who do not read
        due = self._last_sign + self._patience
        if now < due:
            self._set_timer(due)
            return
        self._timer = None
        if self._carrying:
            self._fail("no answer in time")
        self.abort()

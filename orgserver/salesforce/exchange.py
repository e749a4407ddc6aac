"""One request sent once, and its reply read, in a bounded part of our memory.

What went wrong is told by how far the request is proven to have come.

A reply is counted as it grows: above 256 KiB it needs one of the places for middle-sized replies, above 2 MiB one of
those for large ones, and whoever finds none waits with the rest unread, so that it stays with the sender. An org has
fewer places than there are, and waits for its own first: one that sends nothing but large replies, or a byte a second,
fills its own places and leaves the others'. What such replies say is read one after another, in a thread, and that of
smaller ones (above 64 KiB) two at a time, one of each org.

A place is kept until the reply has been read into what is wanted of it, which is small. At most two replies of 32 MiB,
eight of 2 MiB and one that has been read (``bodies.MAX_COST``) are in memory at once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from orgserver.model.text import clean_text
from orgserver.salesforce.http1.failures import ReplyLost
from orgserver.salesforce.http1.requests import HttpRequest, Sender
from orgserver.salesforce.protocol import bodies
from orgserver.salesforce.protocol.json_values import TooCostly
from orgserver.salesforce.protocol.large_containers import LargeContainers
from orgserver.salesforce.protocol.messages import Reply, read_date
from orgserver.salesforce.reply_reading import ReadingPlace, Rests, work_and_free

T = TypeVar("T")
ReadBody = Callable[[int, Mapping[str, str], bytes, str], Any]
"""Reads a body by its status, headers and the kind that was asked for; ValueError if it cannot be understood."""
INLINE_BYTES = 64 * 1024
"""What is larger is read in a thread."""
SMALL_BYTES = 256 * 1024
MIDDLE_BYTES = 2 * 1024 * 1024
_MIDDLE, _LARGE = 8, 2
_MIDDLE_OF_ORG, _LARGE_OF_ORG = 2, 1
_SMALL_READ, _SMALL_READ_OF_ORG = 2, 1
_PAUSE = 0.002
"""Between 256 KiB of a large reply and the next, for other calls: 128 MB/s are more than any org sends."""
_OK = 200
_REQUEST_ID = 100
"""Characters of one that are kept."""
_REQUEST_ID_HEADERS = ("x-request-id", "x-sfdc-request-id", "sforce-request-id")
_API_USAGE = re.compile(r"(?<![\w-])api-usage=(\d{1,12})/(\d{1,12})")
_WARN_FROM = 0.9


class Trace(msgspec.Struct):
    """What one call cost and met; filled while it runs."""

    api_calls: int = 0
    attempts: int = 0
    http_status: int | None = None
    salesforce_request_id: str | None = None
    limit_info: str | None = None
    date: str | None = None
    """The ``Date`` header of the last reply."""
    sent: bool = False
    """Whether Salesforce may have worked on anything: not on what never left, nor on what it refused."""

    def note_headers(self, headers: Mapping[str, str]) -> None:
        """Take over what the headers of a reply say; their names are in lower case."""
        self.limit_info = headers.get("sforce-limit-info", self.limit_info)
        for name in _REQUEST_ID_HEADERS:
            if name in headers:
                self.salesforce_request_id = clean_text(headers[name], _REQUEST_ID)
                break
        self.date = headers.get("date", self.date)

    @property
    def server_date(self) -> datetime | None:
        """What time it was there when it last answered."""
        return read_date(self.date)

    def warn_of_usage(self) -> str | None:
        """A sentence for the agent when little is left of the org's daily API calls."""
        used, allowed = read_api_usage(self.limit_info) or (0, 0)
        if not allowed or used < _WARN_FROM * allowed:
            return None
        return f"this org has used {used:,} of its {allowed:,} API calls of the last 24 hours"


def read_api_usage(header: str | None) -> tuple[int, int] | None:
    """Calls used and allowed in 24 hours, by ``Sforce-Limit-Info`` (REST guide, "Limit Info Header"), or None.

    Salesforce counts with some delay. What else the header says, of bursts and of one app
    (``per-app-api-usage=17/250(appName=x)``), comes before or after.
    """
    match = _API_USAGE.search(header or "")
    return (int(match[1]), int(match[2])) if match else None


class ReplyTooLarge(Exception):
    """The reply came, and is more than we take in."""


class OrgReplyMemory(msgspec.Struct):
    """The places of one org."""

    middle: asyncio.Semaphore = msgspec.field(default_factory=partial(asyncio.Semaphore, _MIDDLE_OF_ORG))
    large: asyncio.Semaphore = msgspec.field(default_factory=partial(asyncio.Semaphore, _LARGE_OF_ORG))
    small_read: asyncio.Semaphore = msgspec.field(default_factory=partial(asyncio.Semaphore, _SMALL_READ_OF_ORG))


@dataclass(slots=True)
class ReplyMemory:
    """The places of all orgs."""

    calls: int = 0
    """Under way, whatever they do at present."""
    middle: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, _MIDDLE))
    large: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, _LARGE))
    reading: asyncio.Semaphore = field(default_factory=ReadingPlace)
    """Whoever has it has its reply read."""
    small_read: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, _SMALL_READ))
    """The same for those below the middle size: each thread that reads makes the event loop wait for its turn."""


@dataclass(slots=True)
class Reservation:
    """What one exchange has taken, until ``release`` gives it back."""

    _all: ReplyMemory
    _org: OrgReplyMemory
    _middle: list[asyncio.Semaphore] = field(default_factory=list)
    _large: list[asyncio.Semaphore] = field(default_factory=list)
    _reading: list[asyncio.Semaphore] = field(default_factory=list)
    _thread: asyncio.Future[None] | None = None
    _results: list[Any] = field(default_factory=list)
    """What the thread has read, until it is taken."""
    _pause_at: int = MIDDLE_BYTES
    containers: LargeContainers = field(default_factory=LargeContainers)
    """What is large in the reply that was read."""

    def rests(self) -> Callable[[], None]:
        """What a thread calls between the steps of its reading."""
        memory = self._all
        return Rests(lambda: memory.calls > 1)

    async def grow(self, size: int) -> None:
        """Take what a reply of so many bytes needs; waits until there is room."""
        if size > MIDDLE_BYTES and not self._large:
            await _take(self._large, self._org.large, self._all.large)
            _give_back(self._middle)
        elif size > SMALL_BYTES and not self._middle and not self._large:
            await _take(self._middle, self._org.middle, self._all.middle)
        if size > self._pause_at and self._all.calls > 1:
            self._pause_at = size + SMALL_BYTES
            await asyncio.sleep(_PAUSE)

    async def read(self, size: int, work: Callable[[], T]) -> T:
        """Do what reads a reply of so many bytes: in a thread if it is not small (``work_and_free``)."""
        if size <= INLINE_BYTES:
            return work()
        works = [work]
        del work  # the thread alone has it, and what it reads
        try:
            return await self._aside(size, works)
        except Exception as error:  # noqa: BLE001  # it is raised again
            failure = error.with_traceback(None)
        if self._thread is not None and self._thread.done():
            self._thread = None  # a future has a traceback of its own
        failure.__cause__ = failure.__context__ = None
        try:
            raise failure
        finally:
            del failure  # with its traceback it would be a circle of objects

    async def _aside(self, size: int, works: list[Callable[[], T]]) -> T:
        if not self._reading:
            await self.grow(size)
            if size > SMALL_BYTES:
                await _take(self._reading, self._all.reading)
            else:
                await _take(self._reading, self._org.small_read, self._all.small_read)
        results: list[T] = []
        self._results = results
        loop = asyncio.get_running_loop()
        self._thread = loop.run_in_executor(None, work_and_free, works, results, self.containers, self.rests())
        await asyncio.shield(self._thread)
        return results.pop()

    def release(self) -> None:
        """Give everything back, once no thread works on it any more: nothing can stop a thread."""
        thread, self._thread = self._thread, None
        places = [*self._middle, *self._large, *self._reading]
        containers, self.containers = self.containers, LargeContainers()
        self._middle, self._large, self._reading, self._pause_at = [], [], [], MIDDLE_BYTES
        give_back = partial(self._free_and_give_back, self._results, containers, places)
        if thread is None or thread.done():
            give_back()
        else:
            thread.add_done_callback(partial(_ended, give_back))

    def _free_and_give_back(
        self, results: list[Any], containers: LargeContainers, places: list[asyncio.Semaphore]
    ) -> None:
        """Give back what was read before its places: in a thread where it is large, and nobody has it any more."""
        results.clear()
        if not containers.are_unused:
            _give_back(places)
            return
        freeing = asyncio.get_running_loop().run_in_executor(None, containers.free, self.rests())
        freeing.add_done_callback(lambda _freeing: _give_back(places))


async def send_once(
    sender: Sender,
    outgoing: HttpRequest,
    seconds: float,
    reservation: Reservation,
    trace: Trace,
    accept: str = bodies.JSON,
    read: ReadBody = bodies.read,
) -> Reply:
    """One attempt. What is not proven to have stayed here counts as sent, and Salesforce may count it, too.

    Raises NeverSent, ReplyLost or ReplyTooLarge.
    """
    try:
        reply = await sender.send(outgoing, seconds=seconds, grow=reservation.grow)
    finally:
        if outgoing.written:
            trace.sent = True
            trace.api_calls += 1
    status, headers, content = reply
    trace.http_status = status
    trace.note_headers(headers)
    size = len(content)
    # what has a reader of its own, a token reply, is small or not read, and must not wait for anything
    waits = size if read is bodies.read else 0
    if waits > INLINE_BYTES:
        read = partial(bodies.read, rest=reservation.rests(), containers=reservation.containers)
    reading = reservation.read(waits, partial(read, status, headers, content, accept))
    del reply, content  # an error would keep them
    try:
        body = await reading
    except TooCostly as error:
        raise ReplyTooLarge(str(error)) from None
    except ValueError as error:
        raise ReplyLost(str(error)) from None
    if waits <= INLINE_BYTES:
        return Reply(status, headers, body, size)
    return Reply(status, headers, body, size, reservation.rests())


def unwrap_read(reply: Reply, trace: Trace) -> Reply:
    """The answer to the read that a composite request was sent for; ReplyLost for what is no answer to one."""
    if reply.status != _OK:
        return reply
    parts = reply.body.get("compositeResponse") if isinstance(reply.body, dict) else None
    part = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    status = part.get("httpStatusCode") if isinstance(part, dict) else None
    if not isinstance(part, dict) or type(status) is not int or not _OK <= status < 600:  # noqa: PLR2004  # a status
        raise ReplyLost("it is no answer to a composite request")
    trace.http_status = status
    return replace(reply, status=status, body=part.get("body"))


async def _take(into: list[asyncio.Semaphore], *places: asyncio.Semaphore) -> None:
    for place in places:
        await place.acquire()
        into.append(place)


def _ended(give_back: Callable[[], None], thread: asyncio.Future[None]) -> None:
    if not thread.cancelled():
        thread.exception()  # nobody waits for it any more
    give_back()


def _give_back(places: list[asyncio.Semaphore]) -> None:
    while places:
        places.pop().release()

"""How much memory replies may take at once: small ones freely, larger ones a few at a time, in each org and in all.

A reply is counted as it grows: above 256 KiB it needs one of the places for middle-sized replies, above 2 MiB one of
those for large ones, and whoever finds none waits with the rest unread, so that it stays with the sender. An org has
fewer places than there are, and waits for its own first: one that sends nothing but large replies, or a byte a second,
fills its own places and leaves the others'. What such replies say is read one after another, in a thread.

A place is kept until the reply has been read into what is wanted of it, which is small. At most two replies of 32 MiB,
eight of 2 MiB and one that has been read (``parsing.MAX_COST``) are in memory at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

INLINE_BYTES = 64 * 1024
"""What is larger is read in a thread."""
SMALL_BYTES = 256 * 1024
MIDDLE_BYTES = 2 * 1024 * 1024
_MIDDLE, _LARGE = 8, 2
_MIDDLE_OF_ORG, _LARGE_OF_ORG = 2, 1


@dataclass(slots=True)
class OrgReplyMemory:
    """The places of one org."""

    middle: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MIDDLE_OF_ORG))
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LARGE_OF_ORG))


@dataclass(slots=True)
class ReplyMemory:
    """The places of all orgs."""

    middle: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MIDDLE))
    large: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LARGE))
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Whoever has it has its reply read."""


class Reservation:
    """What one exchange has taken; given back at the end of the ``async with``."""

    def __init__(self, memory: ReplyMemory, org: OrgReplyMemory) -> None:
        self._all = memory
        self._org = org
        self._middle: list[asyncio.Semaphore] = []
        self._large: list[asyncio.Semaphore] = []
        self._reading: list[asyncio.Semaphore] = []
        self._thread: asyncio.Future[Any] | None = None

    async def grow(self, size: int) -> None:
        """Take what a reply of so many bytes needs; waits until there is room."""
        if size > MIDDLE_BYTES and not self._large:
            await _take(self._large, self._org.large, self._all.large)
            _give_back(self._middle)
        elif size > SMALL_BYTES and not self._middle and not self._large:
            await _take(self._middle, self._org.middle, self._all.middle)

    async def read(self, size: int, work: Callable[[], T]) -> T:
        """Do what reads a reply of so many bytes: in a thread if it is not small.

        An error comes without its traceback and what led to it: they would keep the reply in memory with them.
        """
        if size <= INLINE_BYTES:
            return work()
        try:
            return await self._aside(size, work)
        except Exception as error:  # noqa: BLE001  # it is raised again
            failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
        del work
        raise failure

    async def _aside(self, size: int, work: Callable[[], T]) -> T:
        if size > SMALL_BYTES and not self._reading:
            await self.grow(size)
            await _take(self._reading, self._all.reading)
        self._thread = asyncio.get_running_loop().run_in_executor(None, work)
        return await asyncio.shield(self._thread)

    def release(self) -> None:
        """Give everything back, once no thread works on it any more: nothing can stop a thread."""
        thread, self._thread = self._thread, None
        places = [*self._middle, *self._large, *self._reading]
        self._middle, self._large, self._reading = [], [], []
        if thread is None or thread.done():
            _give_back(places)
        else:
            thread.add_done_callback(partial(_ended, places))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


async def _take(into: list[asyncio.Semaphore], *places: asyncio.Semaphore) -> None:
    for place in places:
        await place.acquire()
        into.append(place)


def _ended(places: list[asyncio.Semaphore], thread: asyncio.Future[Any]) -> None:
    if not thread.cancelled():
        thread.exception()  # nobody waits for it any more
    _give_back(places)


def _give_back(places: list[asyncio.Semaphore]) -> None:
    while places:
        places.pop().release()

"""Changes that wait at the store's writer, and what callers are told whose change does not go in.

The writer's thread may wait in the kernel for a lock that another process holds. Callers do not: while any of them
waits, the event loop looks now and then who holds the lock, and answers those whose patience is at its end. A change
that was given up before the writer took it up never goes in; one that is under way by then goes in all the same, and
``late`` gets its result.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from orgserver.model.errors import StoreBusy
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_holders import Holder, Patience
from orgserver.store.transaction import Change, Transaction

T = TypeVar("T")

LOOK_SECONDS = 0.25
logger = logging.getLogger("orgserver.store")


@dataclass(slots=True, eq=False)
class PendingWrite(Generic[T]):
    """One change, and who waits for it."""

    change: Change[T]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    until: float
    """When its caller needs an answer, by the monotonic clock."""
    late: Callable[[T], None] | None = None
    since: float = field(default_factory=time.monotonic)
    under_way: bool = False
    """The writer runs it: it can no longer be given up."""
    is_answered: bool = False
    """Its caller was told that it did not go in, or that nobody knows yet."""
    given_up: bool = False
    """It must not run."""
    result: T | None = None
    error: BaseException | None = None


class PendingWrites:
    """Those of one writer whose callers wait. ``guard``: no write is taken up and given up at once."""

    def __init__(self, patience: Patience, find_holder: Callable[[], Holder | None]) -> None:
        self.writes: dict[PendingWrite[Any], None] = {}
        self.guard = threading.Lock()
        self.patience = patience
        self._find_holder = find_holder
        self.has_told = False
        """A person was told of the present wait."""
        self._look: asyncio.TimerHandle | asyncio.Task[None] | None = None
        """The next look at those who wait, while anybody does."""

    @property
    def longest_wait(self) -> float:
        """For how many seconds somebody has been waiting."""
        return max((time.monotonic() - write.since for write in list(self.writes)), default=0.0)

    def take_up(self, writes: list[PendingWrite[Any]]) -> list[PendingWrite[Any]]:
        """Those of some writes that were not given up; from now on they cannot be."""
        with self.guard:
            live = [write for write in writes if not write.given_up]
            for write in live:
                write.under_way = True
        return live

    def put_back(self, writes: list[PendingWrite[Any]]) -> None:
        """They did not go in. Those whose callers still wait are tried again, and can be given up until then."""
        with self.guard:
            for write in writes:
                write.under_way = False
                write.given_up = write.is_answered

    def add(self, write: PendingWrite[Any]) -> None:
        """Somebody waits for one more, and is looked after from now on; in their event loop."""
        self.writes[write] = None
        if self._look is None:
            self._look = write.loop.call_later(LOOK_SECONDS, self._look_after_callers, write.loop)

    def _look_after_callers(self, loop: asyncio.AbstractEventLoop) -> None:
        """While anybody waits, see now and then whether somebody has waited for too long."""
        oldest = next(iter(self.writes), None)
        if oldest is None:
            self._look, self.has_told = None, False
        elif time.monotonic() < min(oldest.since + LOOK_SECONDS, self._first_deadline()):
            self._look = loop.call_later(LOOK_SECONDS, self._look_after_callers, loop)
        else:
            self._look = loop.create_task(self._look_at_overdue(loop))

    def _first_deadline(self) -> float:
        return min((write.until for write in self.writes), default=math.inf)

    async def _look_at_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await self.answer_overdue()
        finally:
            pause = min(LOOK_SECONDS, max(self._first_deadline() - time.monotonic(), 0.01))
            self._look = loop.call_later(pause, self._look_after_callers, loop)

    async def answer_overdue(self) -> None:
        """Look who holds the lock, and answer those whose patience is at its end; in their event loop."""
        holder = await asyncio.to_thread(self._find_holder)
        now = time.monotonic()
        for write in list(self.writes):
            if now >= write.until or self.patience.is_over(now - write.since, holder):
                self._give_up(write, holder)
        if not self.has_told and self.patience.tell and self.longest_wait >= lock_holders.TELL_SECONDS:
            self.has_told = True
            self.patience.tell(lock_holders.waiting_line(holder, self.patience.seconds))

    def _give_up(self, write: PendingWrite[Any], holder: Holder | None) -> None:
        with self.guard:
            write.is_answered, write.given_up = True, not write.under_way
        slow = StoreBusy("the store does not answer: its disk or server is slow, or another process holds it")
        error = lock_holders.busy(holder) if write.given_up else slow
        if write.given_up:
            write.change = _nothing  # lets go of what it would have written
        self.writes.pop(write, None)
        write.loop.call_soon_threadsafe(_refuse, write, error)


def wake_callers(
    writes: list[PendingWrite[Any]], last: asyncio.AbstractEventLoop | None, go_on: Callable[[], None]
) -> None:
    """One call into each event loop, however many wait there; the ``last`` begins the next group after that."""
    by_loop: dict[asyncio.AbstractEventLoop, list[PendingWrite[Any]]] = {} if last is None else {last: []}
    for write in writes:
        by_loop.setdefault(write.loop, []).append(write)
    for loop, its_writes in by_loop.items():
        its_go_on = go_on if loop is last else None
        try:
            loop.call_soon_threadsafe(resolve_writes, its_writes, its_go_on)
        except RuntimeError:  # that loop is closed: nobody waits any more
            logger.debug("a caller of the store went away")
            if its_go_on is not None:
                its_go_on()


def resolve_writes(writes: list[PendingWrite[Any]], go_on: Callable[[], None] | None) -> None:
    """Give callers what became of their changes, in their event loop; ``go_on`` is called when they have gone on."""
    try:
        for write in writes:
            _resolve(write)
    finally:
        if go_on is not None:
            asyncio.get_running_loop().call_soon(go_on)


def fail_writes(writes: list[PendingWrite[Any]], error: BaseException) -> list[PendingWrite[Any]]:
    """Let writes end with an error; their callers are still to be woken."""
    for write in writes:
        write.error = error
    return writes


def _resolve(write: PendingWrite[Any]) -> None:
    if not write.future.done():
        if write.error is not None:
            write.future.set_exception(write.error)
        else:
            write.future.set_result(write.result)
    elif write.late is not None and write.error is None and write.under_way:
        write.late(write.result)


def _refuse(write: PendingWrite[Any], error: StoreBusy) -> None:
    if not write.future.done():
        write.future.set_exception(error)


def _nothing(_tx: Transaction) -> None:
    return None

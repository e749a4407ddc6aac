"""What callers wait for at the store's writer, and when they stop waiting.

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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from orgserver.model.errors import StoreBusy
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_holders import Holder, Patience
from orgserver.store.transaction import Change, Transaction

T = TypeVar("T")

LOOK_SECONDS = 0.25
logger = logging.getLogger("orgserver.store")


@dataclass(slots=True, eq=False)
class Job(Generic[T]):
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

    def resolve(self) -> None:
        """Give the caller what became of it; in the caller's event loop."""
        if not self.future.done():
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)  # type: ignore[arg-type]  # None where T is None
        elif self.late is not None and self.error is None and self.under_way:
            self.late(self.result)  # type: ignore[arg-type]  # as above


class WaitingJobs:
    """The jobs of one writer whose callers wait."""

    def __init__(self, patience: Patience, lock: Path) -> None:
        self.patience = patience
        self._lock = lock
        self._guard = threading.Lock()
        self._jobs: dict[Job[Any], None] = {}
        self._looking: asyncio.Handle | asyncio.Task[None] | None = None
        self._has_told = False

    def add(self, job: Job[Any]) -> None:
        """A caller waits; in its event loop."""
        self._jobs[job] = None
        if self._looking is None:
            self._looking = job.loop.call_later(LOOK_SECONDS, self._look, job.loop)

    def discard(self, job: Job[Any]) -> None:
        """It waits no longer."""
        self._jobs.pop(job, None)

    @property
    def longest(self) -> float:
        """For how many seconds somebody has been waiting."""
        return max((time.monotonic() - job.since for job in list(self._jobs)), default=0.0)

    def take_up(self, jobs: Iterable[Job[Any]]) -> list[Job[Any]]:
        """Those of some jobs that were not given up; from now on they cannot be. From the writer's thread."""
        with self._guard:
            live = [job for job in jobs if not job.given_up]
            for job in live:
                job.under_way = True
        return live

    def put_back(self, jobs: Iterable[Job[Any]]) -> None:
        """They did not go in. Those whose callers still wait are tried again, and can be given up until then."""
        with self._guard:
            for job in jobs:
                job.under_way = False
                job.given_up = job.is_answered

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        oldest = next(iter(self._jobs), None)
        if oldest is None:
            self._looking, self._has_told = None, False
        elif time.monotonic() < min(oldest.since + LOOK_SECONDS, self._soonest()):
            self._looking = loop.call_later(LOOK_SECONDS, self._look, loop)
        else:
            self._looking = loop.create_task(self._look_closely(loop))

    async def _look_closely(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            holder = await asyncio.to_thread(lock_holders.holder_of, self._lock)
            now = time.monotonic()
            for job in list(self._jobs):
                if now >= job.until or self.patience.is_over(now - job.since, holder):
                    self._give_up(job, holder)
            self._tell(holder)
        finally:
            pause = min(LOOK_SECONDS, max(self._soonest() - time.monotonic(), 0.01))
            self._looking = loop.call_later(pause, self._look, loop)

    def _soonest(self) -> float:
        return min((job.until for job in self._jobs), default=math.inf)

    def _give_up(self, job: Job[Any], holder: Holder | None) -> None:
        with self._guard:
            job.is_answered, job.given_up = True, not job.under_way
        error = lock_holders.busy(holder) if job.given_up else StoreBusy("the store does not answer: its disk is slow")
        if job.given_up:
            job.change = _nothing  # lets go of what it would have written
        self._jobs.pop(job, None)
        job.loop.call_soon_threadsafe(_refuse, job, error)

    def _tell(self, holder: Holder | None) -> None:
        if not self._has_told and self.patience.tell is not None and self.longest >= lock_holders.TELL_SECONDS:
            self._has_told = True
            self.patience.tell(lock_holders.waiting_line(holder, self.patience.seconds))


def _refuse(job: Job[Any], error: StoreBusy) -> None:
    if not job.future.done():
        job.future.set_exception(error)


def _nothing(_tx: Transaction) -> None:
    return None


def resolve_jobs(jobs: Iterable[Job[Any]]) -> None:
    """Wake the callers: one call into each event loop, however many wait there."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job[Any]]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, its_jobs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_wake, its_jobs)
        except RuntimeError:  # that loop is closed: nobody waits any more
            logger.debug("a caller of the store went away")


def _wake(jobs: list[Job[Any]]) -> None:
    for job in jobs:
        job.resolve()


def fail_jobs(jobs: list[Job[Any]], error: BaseException) -> list[Job[Any]]:
    """Let jobs end with an error; their callers are still to be woken."""
    for job in jobs:
        job.error = error
    return jobs

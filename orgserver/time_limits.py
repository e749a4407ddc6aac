"""Time limits of tasks, many of them by one timer: ``asyncio.timeout_at`` would set and cancel one for each request."""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Self

_EARLY_SECONDS = 0.001
"""How much too early an event loop's timer may go off: uvloop's counts milliseconds."""


class TimeLimits:
    """The limits in force in one event loop; the timer goes off no later than the first of them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limits: dict[TimeLimit, None] = {}
        """In the order in which they began."""
        self._timer: asyncio.Handle | None = None
        self._due = math.inf
        """When the timer goes off, in the event loop's time."""

    def until(self, deadline: float) -> TimeLimit:
        """A context whose task is cancelled at a deadline, in the event loop's time; TimeoutError comes of that."""
        return TimeLimit(self, deadline)

    def add(self, limit: TimeLimit) -> None:
        """Put a limit in force."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # whatever another one has left behind is over with it
            self._loop, self._limits, self._timer, self._due = loop, {}, None, math.inf
        self._limits[limit] = None
        if limit.deadline < self._due:
            self._set_timer(loop, limit.deadline)

    def remove(self, limit: TimeLimit) -> None:
        """Put a limit out of force; the timer goes off for nothing then."""
        self._limits.pop(limit, None)

    def __contains__(self, limit: object) -> bool:
        return limit in self._limits

    def _set_timer(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = due, loop.call_at(due, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is due, and set the timer for the next."""
        self._due, self._timer = math.inf, None
        now = loop.time() + _EARLY_SECONDS
        for limit in [limit for limit in self._limits if limit.deadline <= now]:
            del self._limits[limit]
            limit.expire()
        due = min((limit.deadline for limit in self._limits), default=math.inf)
        if due < math.inf:
            self._set_timer(loop, due)


class TimeLimit:
    """One limit, for as long as its context lasts: what ``asyncio.Timeout`` is, also in what it makes of cancelling."""

    __slots__ = ("_cancelling", "_limits", "_task", "deadline", "is_expired")

    def __init__(self, limits: TimeLimits, deadline: float) -> None:
        self._limits = limits
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.deadline = deadline
        self.is_expired = False

    def __enter__(self) -> Self:
        task = self._task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is one of a task")
        self._cancelling = task.cancelling()
        self._limits.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._limits.remove(self)
        task, self._task = self._task, None
        if not self.is_expired or task is None:
            return
        is_ours_alone = task.uncancel() <= self._cancelling  # or somebody else who cancels it gets their way
        if is_ours_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def reschedule(self, deadline: float | None) -> None:
        """Move the deadline, or (None) go on without one; what is over or expired stays so."""
        if self in self._limits:
            self.deadline = math.inf if deadline is None else deadline
            self._limits.add(self)

    def expire(self) -> None:
        """Cancel the task."""
        self.is_expired = True
        if self._task is not None:
            self._task.cancel()

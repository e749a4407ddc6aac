"""A large reply is read in a thread, and what it said is given back there, in short steps, before its place is."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Literal, TypeVar

from orgserver.salesforce.protocol.large_containers import LargeContainers, Rest

T = TypeVar("T")
_WORK, _RESTS, _LONGEST_REST = 0.001, 4.0, 0.02
"""A thread that reads rests when it has worked so long, for so many times as long, and how long at most."""


class ReadingPlace(asyncio.Semaphore):
    """The place of the one that has a large reply read. Meanwhile nobody looks for circles among objects.

    JSON has none, and each look at a million values of a reply would hold the interpreter for 20 to 50 ms.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self._collects = False

    async def acquire(self) -> Literal[True]:
        """Wait for the place."""
        await super().acquire()
        self._collects = gc.isenabled()
        gc.disable()
        return True

    def release(self) -> None:
        """Give the place to the next."""
        if self._collects:
            gc.enable()
        super().release()


class Rests:
    """Lets others go on while a thread reads, if there are any: it takes the interpreter from them with each step."""

    def __init__(self, has_others: Callable[[], bool]) -> None:
        self._has_others = has_others
        self._began: float | None = None

    def __call__(self) -> None:
        """Rest, after enough work; by the processor's time of this thread."""
        now = time.thread_time()
        worked = now - self._began if self._began is not None else 0.0
        if worked > _WORK and self._has_others():
            time.sleep(min(worked * _RESTS, _LONGEST_REST))
        if self._began is None or worked > _WORK:
            self._began = now


def work_and_free(works: list[Callable[[], T]], results: list[T], containers: LargeContainers, rest: Rest) -> None:
    """Do the one work of a list, which nobody else has any more, and give back what nobody has after it.

    The result is put into a list: a future would keep it. An error comes without its traceback and what led to it:
    they would keep the reply in memory with them.
    """
    failure = None
    try:
        results.append(works.pop()())
    except Exception as error:  # noqa: BLE001  # it is raised again
        failure = error.with_traceback(None)
        failure.__cause__ = failure.__context__ = None
    containers.free(rest)
    if failure is not None:
        raise failure

"""Watches over a request that is being answered: a client that goes away cancels it, silence is filled with pings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from starlette.types import Receive

SOON_SECONDS = 0.25
"""Most requests are answered by then, and need not be watched; a client that has left meanwhile is noticed then."""
PING_SECONDS = 15.0


class Watch:
    """A block in which the current task answers a request; it is left early when the client goes away."""

    __slots__ = ("_is_gone", "_ping", "_receive", "_task", "_timer", "_watching")

    def __init__(self, receive: Receive, ping: Callable[[], Awaitable[None]] | None = None) -> None:
        self._receive = receive
        self._ping = ping
        self._is_gone = False
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is answered by a task")
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(SOON_SECONDS, self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        # Somebody else may have cancelled the task at the same time, as the end of the server does.
        return self._is_gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    message = await self._receive()
            except TimeoutError:
                if self._ping is not None:
                    await self._ping()
                continue
            if message["type"] == "http.disconnect":
                self._is_gone = True
                self._task.cancel()
                return

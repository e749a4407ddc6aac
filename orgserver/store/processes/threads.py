"""Threads for steps that may wait in the kernel, which the end of a process does not wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_detached(step: Callable[..., T], *arguments: Any) -> T:
    """Run a step in a thread of its own, and leave it there when the caller is cancelled.

    ``asyncio.to_thread`` would hold up the end of the event loop, and so Ctrl-C, until the step is over.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = step(*arguments)
        except BaseException as error:  # noqa: BLE001  # it belongs to the caller
            _hand_over(loop, future, error=error)
        else:
            _hand_over(loop, future, result=result)

    threading.Thread(target=run, name="orgserver-step", daemon=True).start()
    return await future


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[T],
    *,
    result: Any = None,
    error: BaseException | None = None,
) -> None:
    def settle() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more

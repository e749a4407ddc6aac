"""The event loop of a command, and how Ctrl-C and SIGTERM end what runs in it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

T = TypeVar("T")


def run(action: Coroutine[Any, Any, T]) -> T:
    """Run a command's action; Ctrl-C cancels it, so that it can leave things in order."""
    collect_again()
    return run_in_loop(action)


def run_in_loop(
    action: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """Run an action in an event loop of its own; KeyboardInterrupt once Ctrl-C has cancelled it."""
    with asyncio.Runner(loop_factory=loop_factory) as runner, CtrlC(runner.get_loop()) as ctrl_c:
        try:
            return runner.run(ctrl_c.cancelling(action))
        except asyncio.CancelledError:
            if ctrl_c.pressed:
                raise KeyboardInterrupt from None
            raise


class CtrlC:
    """Ctrl-C cancels the action of a loop between two of its steps; a second one interrupts whatever runs.

    ``asyncio.Runner`` cancels from within the signal's handler, which Python may enter in the middle of any step:
    ``asyncio``'s own hand-over between futures then finds a future cancelled that it has just seen waiting, and logs
    a traceback.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pressed = False
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None

    async def cancelling(self, action: Coroutine[Any, Any, T]) -> T:
        """The action as the task that is cancelled."""
        self._task = asyncio.current_task()
        return await action

    def __enter__(self) -> Self:
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where Ctrl-C is ignored
        )
        if self._ours:
            signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, *_: object) -> None:
        if self.pressed or self._task is None:
            raise KeyboardInterrupt
        self.pressed = True
        self._loop.call_soon_threadsafe(self._task.cancel)


def collect_again() -> None:
    """End the start, during which garbage is not collected (see ``__main__``)."""
    gc.freeze()
    gc.enable()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end at once what blocks in here, such as a question."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def until_signal(action: Coroutine[Any, Any, None]) -> None:
    """Run something that has no end of its own until SIGTERM or Ctrl-C, which end it well."""
    task = asyncio.ensure_future(action)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task

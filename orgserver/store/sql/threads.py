"""How work that knows no event loop runs in a thread, whichever driver its connections have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Dialect
from sqlalchemy.util import greenlet_spawn

T = TypeVar("T")


def run_in_loop(work: Callable[..., T], *arguments: object) -> T:
    """Run code that knows nothing of event loops in one of this thread's own: where it waits, that loop runs."""
    with asyncio.Runner() as runner:
        return runner.run(greenlet_spawn(work, *arguments))


def run_in_thread(dialect: Dialect, work: Callable[[], T]) -> T:
    """Run work in this thread; where the driver needs an event loop, within one of the thread's own."""
    return run_in_loop(work) if dialect.is_async else work()

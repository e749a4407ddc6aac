"""How work that knows no event loop runs in a thread, whichever driver its connections have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Dialect
from sqlalchemy.util import greenlet_spawn

T = TypeVar("T")


def run_in_thread(dialect: Dialect, work: Callable[[], T]) -> T:
    """Run work in this thread; where the driver needs an event loop, within one of the thread's own."""
    if not dialect.is_async:
        return work()
    with asyncio.Runner() as runner:
        return runner.run(greenlet_spawn(work))

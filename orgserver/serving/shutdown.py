"""How a server ends when a signal asks it to: as when its client leaves, but sooner."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

logger = logging.getLogger("orgserver.serving")

DRAIN_SECONDS = 8.0
"""For what is under way when a signal comes; Docker kills after 10 s."""
GIVEN_UP_SECONDS = 1.0
"""For the answers to what was given up then."""


@dataclass(slots=True)
class Ending:
    """What is read no more when a signal has come, how long what is under way may take, and how it is cut off then."""

    drain_seconds: Callable[[], Awaitable[float]]
    give_up: Callable[[], None]
    """Ends every call with the outcome that it has by then, which its caller is still told."""
    requested: asyncio.Event = field(default_factory=asyncio.Event)

    def on_signals(self) -> None:
        """End well on SIGTERM, SIGHUP and Ctrl-C; the second one ends the process at once. Not on Windows."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:  # which nohup asks for
                loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        if self.requested.is_set():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        logger.info("ending: %s", signal.Signals(number).name)
        self.requested.set()

    async def drain(self, idle: asyncio.Event) -> None:
        """Wait until every call is answered; those that take too long are cut off, and answered."""
        with suppress(TimeoutError):
            async with asyncio.timeout(await self.drain_seconds()):
                await idle.wait()
                return
        self.give_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVEN_UP_SECONDS):
                await idle.wait()

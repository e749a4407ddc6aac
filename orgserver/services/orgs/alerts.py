"""Tells the operator's own program of each change of an org's state: one run for each, by the process that made it.

A change is told after its commit, and never twice: of a process that is killed between the two nobody hears.

The program is started from an argument list, without a shell, with the change as JSON on its standard input, in a
process group of its own that ends after ten seconds. A few run at once; the others wait their turn. That one fails,
hangs or is missing is said once, and no call or command fails of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from orgserver.model.orgs import StateChange
from orgserver.model.text import clean_text

logger = logging.getLogger("orgserver.orgs")

SECONDS = 10.0
"""For one run, and for all that are still to be made when the process ends."""
AT_ONCE = 4
MAX_WAITING = 10_000
_OURS = "ORGSERVER_"


class Alerts:
    """Runs the program, for as long as the process lives."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        warn: Callable[[str], None] = logger.warning,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._command = tuple(command)
        self._warn = warn
        self._environment = {name: value for name, value in environ.items() if not name.upper().startswith(_OURS)}
        self._seconds = SECONDS
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[StateChange] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._has_warned = False

    def add(self, change: StateChange) -> None:
        """Tell of a change soon; from any thread, and never failing."""
        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._add, change)

    def _add(self, change: StateChange) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._fail(f"more than {MAX_WAITING:,} changes wait, so some are left out")
            return
        self._waiting.append(change)
        if len(self._running) < AT_ONCE:
            task = self._loop.create_task(self._work())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Run what waits, for ten seconds at most; what still runs then is ended."""
        await asyncio.sleep(0)  # for those that were added from the writer's thread
        if self._running:
            await asyncio.wait(self._running, timeout=self._seconds)
        if self._waiting:
            self._fail(f"{len(self._waiting)} changes were left out, for the process ends")
            self._waiting.clear()
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _work(self) -> None:
        while self._waiting:
            await self._run(self._waiting.popleft())

    async def _run(self, change: StateChange) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=DEVNULL,  # standard output may carry the protocol
                stderr=DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._fail(f"it cannot be started ({getattr(error, 'strerror', None) or type(error).__name__})")
            return
        try:
            async with asyncio.timeout(self._seconds):
                await process.communicate(json.dumps(describe_change(change)).encode() + b"\n")
        except TimeoutError:
            self._fail(f"it took longer than {self._seconds:g} s")
            return
        finally:
            if process.returncode is None:
                _end_group(process)
            code = await process.wait()
        if code:
            self._fail(f"it ended with exit code {code}")
        else:
            self._has_warned = False

    def _fail(self, reason: str) -> None:
        """Say once that the operator is not told, until they are told again."""
        if not self._has_warned:
            self._has_warned = True
            self._warn(f"alert_command of config.toml did not take a change of an org's state: {reason}")


def describe_change(change: StateChange) -> dict[str, Any]:
    """What the program is told: nothing secret."""
    org = change.org
    problem = asdict(org.problem) | {"since": _time(org.problem.since)} if org.problem is not None else None
    return {
        "org": org.alias,
        "org_id": org.org_id,
        "name": clean_text(org.name),
        "kind": org.kind,
        "before": change.before.value,
        "after": org.visible_state.value,
        "since": _time(change.since),
        "cause": clean_text(org.cause) if org.cause else None,
        "problem": problem,
    }


def _time(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def _end_group(process: asyncio.subprocess.Process) -> None:
    """End the program and what it has started."""
    with suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)

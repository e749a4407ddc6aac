"""Refusals that come in a flood, put on record in groups: each is an entry of its own, and few commits have many.

The first is written at once, and those that come after it together, four times a second. Whoever was refused is
answered when its entry is durable, so a flood waits for its own groups; and of one round one after another, or all of
them would call again in the same moment. There are never more of them than connections.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from orgserver.model.audit import Completion, Intent
from orgserver.model.errors import StoreAway, StoreError
from orgserver.store.audit.log import AuditLog
from orgserver.store.database import Database
from orgserver.store.transaction import Transaction

PAUSE_SECONDS = 0.25
"""From the beginning of one round of groups to that of the next."""
GROUP = 16
"""So many are written in one go, for some 2 ms: what calls under way write comes in between."""


class _Denial(NamedTuple):
    intent: Intent
    completion: Completion
    recorded: asyncio.Future[None]


class DenialGroups:
    """Collects refusals, and writes them."""

    def __init__(self, database: Database, log: AuditLog, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._database = database
        self._log = log
        self._pause_seconds = pause_seconds
        self._next_round = 0.0
        self._waiting: list[_Denial] = []
        self._writing: asyncio.Task[None] | None = None
        """While anybody waits."""

    async def record(self, intent: Intent, completion: Completion) -> None:
        """Put a refusal on record, together with others; StoreAway if it cannot be.

        One whose caller goes away while it waits is on record all the same.
        """
        loop = asyncio.get_running_loop()
        denial = _Denial(intent, completion, loop.create_future())
        self._waiting.append(denial)
        if self._writing is None:
            self._writing = loop.create_task(self._write_rounds(loop))
        await denial.recorded

    async def _write_rounds(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(max(self._next_round - loop.time(), 0.0))
                self._next_round = loop.time() + self._pause_seconds
                denials, self._waiting = self._waiting, []
                for start in range(0, len(denials), GROUP):
                    await self._write(denials[start : start + GROUP])
        finally:
            self._writing = None

    async def _write(self, denials: list[_Denial]) -> None:
        def append(tx: Transaction) -> None:
            for intent, completion, _ in denials:
                self._log.record_in(tx, intent, completion)

        failure: Exception | None = None
        try:
            await self._database.write(append)
        except StoreError as error:
            failure = StoreAway("the audit log cannot be written", hint=str(error))
        except Exception as error:  # noqa: BLE001  # it belongs to those who wait, or they would wait for ever
            failure = error
        loop = asyncio.get_running_loop()
        for number, denial in enumerate(denials):
            loop.call_later(number * self._pause_seconds / GROUP, _answer, denial.recorded, failure)


def _answer(recorded: asyncio.Future[None], failure: Exception | None) -> None:
    if recorded.done():
        return  # nobody waits for it any more
    if failure is None:
        recorded.set_result(None)
    else:
        recorded.set_exception(failure)

"""Whether a server can do its work now: the store takes a write, the keys open, and no refresh hangs."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from sqlalchemy import Connection

from orgserver.model.errors import OperatorError
from orgserver.store import diagnostics
from orgserver.store.files import FREE_FLOOR
from orgserver.store.readiness import CANARY, canary_context
from orgserver.store.session import Store
from orgserver.vault.keys import Unsealable
from orgserver.vault.ring import RingBehind

SECONDS = 2.0
"""For the write."""
FRESH_SECONDS = 1.0
"""How long an answer serves: whoever asks without a pause costs the store nothing."""
_GRACE_US = 60_000_000


class Readiness:
    """Looks at the store, once for all who ask at the same time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._look = asyncio.Lock()
        self._looked_at = -FRESH_SECONDS
        self._problems: tuple[str, ...] = ()

    async def find_problems(self) -> tuple[str, ...]:
        """What stands in the way of calls now; nothing, as it should be."""
        async with self._look:
            if time.monotonic() - self._looked_at >= FRESH_SECONDS:
                self._problems = await self._find()
                self._looked_at = time.monotonic()
            return self._problems

    async def _find(self) -> tuple[str, ...]:
        try:
            free = await asyncio.to_thread(self._store.database.engine.free_bytes)
            if free is not None and free < FREE_FLOOR:
                return ("the store's disk is almost full",)
            canary = await self._store.database.write(diagnostics.write_in, within=SECONDS)
            async with self._store.database.reading() as connection:
                before = self._store.database.clock() - _GRACE_US
                holders = await diagnostics.find_overdue_holders(connection, before)
                holders += await self._store.orgs.connections.find_overdue_holders(connection, before)
            if not await asyncio.to_thread(self._opens, canary):
                return ("the master key does not open the store",)
            holders = [each for each in holders if self._store.process_lock.is_here(each)]
            holders = await self._store.database.scan(partial(self._living, holders)) if holders else []
        except (OperatorError, OSError) as error:
            return (f"the store cannot be used: {error}",)
        return (f"{len(holders)} refreshes hang",) if holders else ()

    def _living(self, holders: list[str], connection: Connection) -> list[str]:
        return [holder for holder in holders if self._store.process_lock.is_alive(connection, holder)]

    def _opens(self, canary: bytes) -> bool:
        vault = self._store.wrapped_keys.vault
        try:
            return vault.open(canary, canary_context(self._store.id)) == CANARY
        except RingBehind as behind:
            behind.catch_up()
            return vault.open(canary, canary_context(self._store.id)) == CANARY
        except Unsealable:
            return False

"""When API keys were used last: written down late, and for many keys at once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from orgserver.model.errors import StoreError
from orgserver.store.people import keys
from orgserver.store.people.identities import StoredKey
from orgserver.store.session import Store

PAUSE_US = 60_000_000
"""The last use of a key is written down at most so often."""
WAIT_SECONDS = 5.0
"""For the uses of other keys, which are written with it."""


class KeyUses:
    """Uses that the store does not know of yet. They are a courtesy: no request waits or fails for them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last_uses: dict[str, int] = {}
        """The last use that was written down or is about to be, by key."""
        self._new_uses: dict[str, int] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, key: StoredKey, now: int) -> None:
        """Note that a key is used now."""
        last = self._last_uses.get(key.id, key.last_used_at)
        if last is not None and now - last < PAUSE_US:
            return
        self._last_uses[key.id] = self._new_uses[key.id] = now
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_later())

    async def close(self) -> None:
        """Write what is left."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self._write()

    async def _write_later(self) -> None:
        while self._new_uses:
            await asyncio.sleep(WAIT_SECONDS)
            await self._write()

    async def _write(self) -> None:
        uses, self._new_uses = self._new_uses, {}
        if uses:
            with suppress(StoreError):
                await self._store.database.write(partial(keys.touch_in, uses=uses))

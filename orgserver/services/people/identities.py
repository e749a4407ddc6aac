"""Who may show what, in memory: compared with the store's version at each request, read anew when it has changed."""

from __future__ import annotations

import asyncio
import sqlite3

from orgserver.model.errors import StoreError
from orgserver.store.people.identities import IdentitySnapshot, read_identities
from orgserver.store.session import Store


class Identities:
    """The keys and subjects of a store, for servers that are asked often."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshot: IdentitySnapshot | None = None
        self._reading = asyncio.Lock()

    def has_key(self, digest: bytes) -> bool:
        """Whether there was a key of this digest when they were last read."""
        return self._snapshot is not None and digest in self._snapshot.keys

    async def current(self) -> IdentitySnapshot:
        """Them as the store has them now; without a wait where nothing has changed."""
        snapshot = self._snapshot
        if snapshot is not None and self._store.database.version_reader.read_of_turn() == snapshot.version:
            return snapshot
        return await self._reload()

    async def _reload(self) -> IdentitySnapshot:
        """Read them; whoever asks meanwhile waits, and looks again whether what was read is still so."""
        database = self._store.database
        async with self._reading:
            if self._snapshot is not None and database.version_reader.read() == self._snapshot.version:
                return self._snapshot
            try:
                await asyncio.to_thread(database.version_reader.open)
            except sqlite3.Error as error:
                raise StoreError(f"the store cannot be read: {error}") from error
            async with database.reading() as connection:
                self._snapshot = await read_identities(connection)
            return self._snapshot

"""Who may show what, in memory: compared with the store's version at each request, read anew when it has changed."""

from __future__ import annotations

import asyncio

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
            version = await database.version_reader.ask_version()
            if self._snapshot is not None and version == self._snapshot.version:
                return self._snapshot
            async with database.reading() as connection:
                self._snapshot = await read_identities(connection, self._snapshot)
            return self._snapshot

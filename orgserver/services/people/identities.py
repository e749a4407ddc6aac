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
        """Them as the store has them now; without a wait where nothing has changed and the store can tell at once."""
        reader, seen = self._store.database.version_reader, self._snapshot
        version = reader.read_of_turn()
        if version is None:
            version = await reader.ask_version()
        if seen is not None and seen.version == version:
            return seen
        return await self._reload(version, seen)

    async def _reload(self, version: int, seen: IdentitySnapshot | None) -> IdentitySnapshot:
        """Read them, unless another has since ``seen``, and not older; whoever asks meanwhile waits for the same."""
        async with self._reading:
            snapshot = self._snapshot
            if snapshot is None or snapshot is seen or snapshot.version < version:
                async with self._store.database.reading() as connection:
                    snapshot = self._snapshot = await read_identities(connection, snapshot)
            return snapshot

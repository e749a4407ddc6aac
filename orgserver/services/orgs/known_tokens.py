"""Which orgs the refresh tokens are of that this store has or had, without opening them."""

from __future__ import annotations

from functools import partial

from orgserver.model.names import Alias
from orgserver.store.orgs import token_digests
from orgserver.store.session import Store

_AT_ONCE = 500


class KnownTokens:
    """The refresh tokens of a store, by their digests."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_filled = False

    async def by_digest(self) -> dict[str, Alias]:
        """Which org is registered with a refresh token, by the digest of what was given or is in use."""
        await self.fill()
        async with self._store.database.reading() as connection:
            known = await token_digests.read_tokens(connection)
        as_given = {each.given: each.alias for each in known if each.given}
        return as_given | {each.digest: each.alias for each in known if each.digest}

    async def fill(self) -> None:
        """Open what an earlier version wrote, once: of its tokens there is no digest."""
        credentials = self._store.orgs.credentials
        while not self._is_filled:
            async with self._store.database.reading() as connection:
                unknown = await credentials.digest_unknown(connection, _AT_ONCE)
            if unknown:
                await self._store.database.write(partial(token_digests.keep_in, digests=unknown))
            self._is_filled = len(unknown) < _AT_ONCE

"""Ends people's own logins to orgs in which they may do nothing any more, also where only time has passed.

A login that was given and not stored in time ends, too: a command that was killed may have left it.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from orgserver.model.access.principals import Principal
from orgserver.model.errors import OrgserverError
from orgserver.model.names import RowId
from orgserver.model.orgs import Caller
from orgserver.services.calls.access import Access
from orgserver.services.connections.checks import Checks
from orgserver.services.connections.storing import Storing
from orgserver.services.observer import Observer
from orgserver.services.tokens import login_ends
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.session import Store

logger = logging.getLogger("orgserver.connections")

SWEEP_SECONDS = 60.0
_NOBODY = Caller(Principal("orgserver"), "cli")
_AT_A_TIME = 500


class Reachability:
    """Looks after them."""

    def __init__(self, store: Store, access: Access, observer: Observer | None = None) -> None:
        self._store = store
        self._access = access
        self._storing = Storing(store, access, Checks(store, access), observer)

    async def run(self) -> None:
        """Look each minute, for as long as the server lives."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.end_late()
            except OrgserverError as error:
                logger.warning("logins that nobody may use any more are ended later: %s", error)

    async def end_late(self) -> None:
        """End those that nobody may use any more, and those that nobody has stored in time."""
        await self.sweep()
        await self._storing.sweep()

    async def sweep(self) -> int:
        """End those that nobody may use any more; how many."""
        async with self._store.database.reading() as connection:
            living = await self._store.orgs.connections.read_living(connection)
        if not living:
            return 0
        lost = await self._find_lost(living)
        count = 0
        for first in range(0, len(lost), _AT_A_TIME):
            names = lost[first : first + _AT_A_TIME]
            end = partial(login_ends.end_unreachable_in, store=self._store, caller=_NOBODY, tool=login_ends.DISCONNECT)
            count += await self._store.database.write(partial(end, principals=names))
        if count:
            await self._access.reload()
        return count

    async def _find_lost(self, living: list[tuple[RowId, str]]) -> list[str]:
        """Whose logins are to be looked at in a change: as far as can be told without one."""
        catalog = await self._access.reload() if await self._access.changed() else await self._access.catalog()
        lost: dict[str, None] = {}
        for number, (row_id, principal) in enumerate(living):
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            if self._is_lost(catalog, row_id, principal):
                lost[principal] = None
        return list(lost)

    def _is_lost(self, catalog: OrgSnapshot, row_id: RowId, principal: str) -> bool:
        org = catalog.by_row.get(row_id)
        if org is None:
            return False
        standing = catalog.standings.get(principal)
        return login_ends.find_cause(standing, org, principal, self._access.now()) is not None

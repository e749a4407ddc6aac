"""Which orgs have been idle so long that their refresh token would die, and refreshing those.

Salesforce ends a refresh token that was not used for 30 days (Help, "Manage Session Policies for a Connected App").
An org is refreshed when it has been idle for the days that the operator set, never earlier: each rotation is a risk.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from orgserver.model.errors import CallError, OrgserverError
from orgserver.model.orgs import Org, OrgState
from orgserver.services.calls.access import Access

logger = logging.getLogger("orgserver.tokens")

LIFE = timedelta(days=30)
"""How long a refresh token lives unused."""
WARN_FROM = timedelta(days=20)
AT_ONCE = 4
_FIRST_SECONDS = (60.0, 300.0)
_EVERY_SECONDS = (1_800.0, 5_400.0)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of one idle org."""

    org: Org
    error: CallError | None


def dies_at(org: Org) -> datetime | None:
    """When an org's refresh token would die if nobody used it."""
    if org.refreshed_at is None or not org.holds_refresh_token:
        return None
    return org.refreshed_at + LIFE


def is_idle(org: Org, days: float, now: datetime) -> bool:
    """Tell whether an org is due; disabled orgs are kept alive all the same."""
    if days <= 0 or org.state is not OrgState.READY or not org.holds_refresh_token:
        return False
    return (org.refreshed_at or org.created_at) <= now - timedelta(days=days)


class KeepAlive:
    """Refreshes idle orgs, a few at once."""

    def __init__(self, access: Access, days: float, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._access = access
        self._days = days
        self._clock = clock

    async def refresh_idle(self) -> list[Kept]:
        """Refresh every org that is due, in no particular order."""
        orgs = list((await self._access.reload()).by_alias.values())
        due = [org for org in orgs if is_idle(org, self._days, self._clock())]
        random.shuffle(due)
        places = asyncio.Semaphore(AT_ONCE)

        async def one(org: Org) -> Kept | None:
            async with places:
                return await self._refresh(org)

        return [refreshed for refreshed in await asyncio.gather(*(one(org) for org in due)) if refreshed is not None]

    async def _refresh(self, org: Org) -> Kept | None:
        """Refresh one org, unless another process just did."""
        last = await self._access.tokens.refreshed_at(org)
        if not is_idle(replace(org, refreshed_at=last), self._days, self._clock()):
            return None
        try:
            await self._access.tokens.renew(org)
        except CallError as error:
            logger.warning("an idle org could not be refreshed: %s", error, extra={"org": org.alias})
            return Kept(org, error)
        return Kept(org, None)

    async def run(self) -> None:
        """Look after idle orgs for as long as the process lives; spread out, so that servers do not march in step."""
        if self._days <= 0:
            return
        pause = random.uniform(*_FIRST_SECONDS)  # noqa: S311  # jitter
        while True:
            await asyncio.sleep(pause)
            try:
                await self.refresh_idle()
            except OrgserverError as error:
                logger.warning("idle orgs could not be looked after: %s", error)
            pause = random.uniform(*_EVERY_SECONDS)  # noqa: S311  # jitter

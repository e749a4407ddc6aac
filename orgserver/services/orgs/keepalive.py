"""Which orgs have been idle so long that their refresh token would die, and refreshing those.

Salesforce ends a refresh token that was not used for 30 days (Help, "Manage Session Policies for a Connected App").
An org is refreshed when it has been idle for the days that the operator set, never earlier: each rotation is a risk.
Servers spread what falls due together over the next day, and catch up at the same pace, oldest first: ten thousand
orgs of one import, or of a machine that slept, are no burst.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from orgserver.model.access.logins import LoginKey
from orgserver.model.errors import CallError, OrgserverError
from orgserver.model.orgs import Org, OrgState
from orgserver.services.calls.access import Access
from orgserver.store.orgs.idleness import IdleLogin

logger = logging.getLogger("orgserver.tokens")

LIFE = timedelta(days=30)
"""How long a refresh token lives unused."""
WARN_FROM = timedelta(days=20)
AT_ONCE = 4
SPREAD = timedelta(days=1)
"""Over so long is spread what falls due at once."""
SWEEP = timedelta(minutes=1)
_MARGIN = timedelta(hours=12)
"""So long before its token dies an org is to be refreshed, whatever the pace."""
_FIRST_SECONDS = (60.0, 300.0)
_EVERY_SECONDS = (1_800.0, 5_400.0)
_JITTER = (0.75, 1.25)
_TRY_AGAIN = timedelta(hours=1)


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
    return (org.refreshed_at or (org.connection or org).created_at) <= now - timedelta(days=days)


def choose_due(
    idle: Sequence[IdleLogin], count: int, days: float, now: datetime
) -> tuple[Sequence[IdleLogin], Sequence[IdleLogin]]:
    """Of the orgs that have been idle for the days, those to refresh in this sweep, and those due that wait.

    ``count`` is how many orgs are kept alive. So many are taken that all of them would have their turn within a day,
    the longest idle first; more only where a token would die in the queue.
    """
    spread = min(SPREAD, (LIFE - timedelta(days=days)) / 4)
    after = timedelta(days=days)
    due = sorted((org for org in idle if org.since + after + spread * _share(org) <= now), key=lambda org: org.since)
    most = max(AT_ONCE, math.ceil(count * (SWEEP / spread)), _urgent(due, now))
    return due[:most], due[most:]


def _share(idle: IdleLogin) -> float:
    """Where in the spread an org has its place: another one after each use."""
    return zlib.crc32(f"{idle.login.id} {idle.since.timestamp()}".encode()) / 2**32


def _urgent(due: Sequence[IdleLogin], now: datetime) -> int:
    """How many at a time it takes for each to be refreshed before its token dies."""
    left = ((org.since + LIFE - _MARGIN - now) / SWEEP for org in due)
    return math.ceil(max((place / max(sweeps, 1) for place, sweeps in enumerate(left, 1)), default=0))


class KeepAlive:
    """Refreshes idle orgs, a few at once."""

    def __init__(self, access: Access, days: float, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._access = access
        self._days = days
        self._clock = clock
        self._tried: dict[LoginKey, datetime] = {}
        """When orgs had their turn: one that could not be refreshed does not stand before the others again at once."""

    async def refresh_idle(self) -> list[Kept]:
        """Refresh every org that is idle, in no particular order: an operator wants it done."""
        if self._days <= 0:
            return []
        idle, _ = await self._access.tokens.find_idle(self._clock() - timedelta(days=self._days))
        return await self._refresh_all(random.sample(idle, len(idle)))

    async def sweep(self) -> bool:
        """Refresh as many idle orgs as have their turn; True where others wait for theirs."""
        now = self._clock()
        self._tried = {login: then for login, then in self._tried.items() if now - then < _TRY_AGAIN}
        idle, count = await self._access.tokens.find_idle(now - timedelta(days=self._days))
        chosen, waiting = choose_due([each for each in idle if each.login not in self._tried], count, self._days, now)
        self._tried |= {each.login: now for each in chosen}
        await self._refresh_all(chosen)
        return bool(waiting)

    async def _refresh_all(self, idle: Sequence[IdleLogin]) -> list[Kept]:
        if not idle:
            return []
        snapshot = await self._access.reload()
        places = asyncio.Semaphore(AT_ONCE)

        async def one(org: Org) -> Kept | None:
            async with places:
                return await self._refresh(org)

        orgs = [snapshot.find_login(each.login) for each in idle]
        results = await asyncio.gather(*(one(org) for org in orgs if org is not None))
        return [refreshed for refreshed in results if refreshed is not None]

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
            others_wait = False
            try:
                others_wait = await self.sweep()
            except OrgserverError as error:
                logger.warning("idle orgs could not be looked after: %s", error)
            pause = SWEEP.total_seconds() * random.uniform(*_JITTER) if others_wait else random.uniform(*_EVERY_SECONDS)  # noqa: S311  # jitter

"""Which access token does an org take right now: cached, shared through the store, and refreshed by one for all.

Whoever needs a token other than the refused one waits for the same answer: tasks behind a lock, processes behind
a lease (docs/adr/0007-lease.md).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial

from orgserver.model.access.logins import LoginKey
from orgserver.model.errors import Rejected
from orgserver.model.orgs import CLOSED_STATES, AccessToken, Org
from orgserver.salesforce.client import TOKEN_SECONDS, SalesforceClient
from orgserver.salesforce.protocol import refusal_hints
from orgserver.services.observer import Observer
from orgserver.services.tokens.refresh import Refresher, RefreshRequest, is_same_token
from orgserver.services.tokens.refresh_outcomes import PAUSES, Pauses
from orgserver.store.orgs import idleness
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.idleness import IdleLogin
from orgserver.store.session import Store

_FIRST_PAUSE, _LONGEST_PAUSE = 10.0, 900.0
"""Seconds without a refresh after a new token was refused; twice as many each time."""
LEASE_SECONDS = 60.0
"""Longer than the whole time of a token request."""


@dataclass(frozen=True, slots=True)
class _Useless:
    """A token that was refused although it was new: another one would be, too, and getting it may cost a refresh token.

    (jsforce PR 1301: users that may not use the API, sessions locked to another address.)
    """

    token: AccessToken
    message: str
    until: float
    """In the event loop's time."""
    pause: float


@dataclass(slots=True)
class _Live:
    """What this process knows of one login between calls."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    current: AccessToken | None = None
    new: bool = False
    """It came from a refresh that somebody waited for here."""
    useless: _Useless | None = None
    ended_results: AccessToken | None = None
    """It was refused when it was new, with the next page of a query that another session had begun."""


class Tokens:
    """Access tokens of every login, and the refreshing of them."""

    def __init__(
        self,
        store: Store,
        client: SalesforceClient,
        *,
        lease_seconds: float = LEASE_SECONDS,
        token_seconds: float = TOKEN_SECONDS,
        observer: Observer | None = None,
        pauses: Pauses = PAUSES,
    ) -> None:
        self._store = store
        self.client = client
        self._live: defaultdict[LoginKey, _Live] = defaultdict(_Live)
        self._make_refresher = partial(
            Refresher,
            store,
            client,
            observer,
            lease_seconds=lease_seconds,
            token_seconds=token_seconds,
            pauses=pauses,
        )
        self._refreshes: set[asyncio.Task[AccessToken]] = set()

    @cached_property
    def _refresher(self) -> Refresher:
        """Made when the first refresh is needed: most commands need none."""
        return self._make_refresher()

    async def follow(self, snapshot: OrgSnapshot) -> None:
        """Let go of logins that are gone, and of the access tokens of those whose state allows no call."""
        for login, live in list(self._live.items()):
            state = snapshot.find_state(login)
            if state is None:
                self._live.pop(login, None)
            elif state in CLOSED_STATES:
                live.current = None
            if login.row_id not in snapshot.by_row:
                await self.client.close_org(login.row_id)

    async def current(self, org: Org, *, not_this: AccessToken | None = None) -> AccessToken:
        """Give an access token, other than ``not_this``; refreshed when the store has none.

        Raises NeedsLogin, NoConnection or another NotSent.
        """
        live = self._live[org.login]
        if live.current is not None and (not_this is None or not is_same_token(live.current, not_this)):
            return live.current
        async with live.lock:
            if live.current is None or is_same_token(live.current, not_this):
                live.current, live.new = await self._other(org, not_this)
            return live.current

    async def after(self, org: Org, refused: AccessToken) -> tuple[AccessToken, bool]:
        """Give a token other than a refused one, and whether it is new: got now, not just found in the store.

        Raises Rejected, without asking for another, while it is known that new tokens are refused too.
        """
        useless = self._live[org.login].useless
        if (
            useless is not None
            and is_same_token(useless.token, refused)
            and asyncio.get_running_loop().time() < useless.until
        ):
            raise _refused_anew(org, useless.message)
        token = await self.current(org, not_this=refused)
        return token, self._live[org.login].new

    def refused_anew(self, org: Org, token: AccessToken, message: str) -> Rejected:
        """Remember that a new token was refused, and give the error: for a while, longer each time, no other is got."""
        live = self._live[org.login]
        pause = min(live.useless.pause * 2, _LONGEST_PAUSE) if live.useless else _FIRST_PAUSE
        live.useless = _Useless(token, message, asyncio.get_running_loop().time() + pause, pause)
        return _refused_anew(org, message)

    def ends_results(self, org: Org, token: AccessToken, *, new: bool) -> bool:
        """Whether the next page of a query is gone for good: a new token was refused with one, this time or before."""
        live = self._live[org.login]
        if new:
            live.ended_results = token
        return is_same_token(token, live.ended_results)

    def accepted(self, org: Org) -> None:
        """An org took a token: what was remembered of refused ones is over."""
        live = self._live.get(org.login)
        if live is not None:
            live.useless = None

    async def refreshed_at(self, org: Org) -> datetime | None:
        """When an org's refresh token was last used, by any process."""
        async with self._store.database.reading() as connection:
            return await self._store.orgs.refreshed_at(connection, org.login)

    async def find_idle(self, before: datetime) -> tuple[list[IdleLogin], int]:
        """The logins whose refresh token nobody has used since an instant; and how many have one, idle or not."""
        async with self._store.database.reading() as connection:
            return await idleness.find_idle(connection, before)

    async def renew(self, org: Org, *, force: bool = False) -> AccessToken:
        """Refresh although the access token may still work: to use the refresh token before it dies of idleness.

        Without ``force``, which is an operator's word, a refresh token whose last answer was lost is left alone.
        """
        live = self._live[org.login]
        async with live.lock:
            request = RefreshRequest(await self._stored(org), prove=force, force=force)
            live.current = await self._shielded(org, request)
            return live.current

    async def _other(self, org: Org, not_this: AccessToken | None) -> tuple[AccessToken, bool]:
        stored = await self._stored(org)
        if stored is not None and not is_same_token(stored, not_this):
            return stored, False
        return await self._shielded(org, RefreshRequest(not_this)), True

    async def _shielded(self, org: Org, request: RefreshRequest) -> AccessToken:
        task = asyncio.ensure_future(self._refresher.refresh(org, request))
        self._refreshes.add(task)
        task.add_done_callback(self._refreshes.discard)
        return await asyncio.shield(task)  # a caller that gives up must not stop a refresh that was sent

    async def _stored(self, org: Org) -> AccessToken | None:
        async with self._store.database.reading() as connection:
            return await self._store.orgs.credentials.access_token(connection, org.login)

    async def close(self) -> None:
        """Wait for refreshes under way: what Salesforce answers them must not be lost."""
        while self._refreshes:
            self._refresher.ending = True
            await asyncio.gather(*self._refreshes, return_exceptions=True)


def _refused_anew(org: Org, message: str) -> Rejected:
    return Rejected(
        f"{org.alias} refuses the access tokens that it has just given: {message}",
        code="INVALID_SESSION_ID",
        category="auth_expired",
        hint=refusal_hints.NOTHING_HELPS,
        http_status=401,
    )

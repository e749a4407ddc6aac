"""Which access token does an org take right now: cached, shared through the store, and refreshed by one for all.

Whoever needs a token other than the refused one waits for the same answer: tasks behind a lock, processes behind
a lease (docs/adr/0007-lease.md).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from orgserver.model.audit import Act, Action, Ending, Outcome
from orgserver.model.errors import NeedsLogin, NoConnection, NotSent, StoreError, Unanswered
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import AccessToken, Credential, Org, OrgState, Problem
from orgserver.salesforce import hosts, oauth
from orgserver.salesforce.client import OrgHosts, SalesforceClient
from orgserver.store import leases
from orgserver.store.chain import when
from orgserver.store.opened import Store
from orgserver.store.writer import Transaction, microseconds

logger = logging.getLogger("orgserver.tokens")

LEASE_SECONDS = 60.0
"""Longer than the whole time of a token request."""
_LEASE_PAUSE = (0.03, 0.12)
_KEEP_TRYING = (0.1, 0.3, 1.0, 3.0, 10.0)
_BUSY_WAITS = (0.3, 0.6, 1.2, 2.4, 4.8)
"""How long to wait, in seconds, for somebody else's refresh before looking at the store again."""


class _Busy(Exception):
    """Salesforce is answering somebody else about this very token."""


@dataclass(slots=True)
class _Live:
    """What this process knows of one org between calls."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    current: AccessToken | None = None


def hosts_of(org: Org, instance_url: str) -> OrgHosts:
    """Where an org's token and credential may be sent."""
    return OrgHosts(org.row_id, instance_url, org.login_url, org.trusted_hosts)


class Tokens:
    """Access tokens of every org, and the refreshing of them."""

    def __init__(self, store: Store, client: SalesforceClient) -> None:
        self._store = store
        self.client = client
        self._live: dict[RowId, _Live] = {}
        self._refreshes: set[asyncio.Task[AccessToken]] = set()

    async def forget_all_but(self, present: Collection[RowId]) -> None:
        """Let go of orgs that were removed."""
        for row_id in self._live.keys() - set(present):
            del self._live[row_id]
            await self.client.forget(row_id)

    async def current(self, org: Org, *, not_this: AccessToken | None = None) -> AccessToken:
        """Give an access token, other than ``not_this``; refreshed when the store has none.

        Raises NeedsLogin, NoConnection or another NotSent.
        """
        live = self._live.setdefault(org.row_id, _Live())
        if live.current is not None and not _same(live.current, not_this):
            return live.current
        async with live.lock:
            if live.current is None or _same(live.current, not_this):
                live.current = await self._other(org, not_this)
            return live.current

    async def refreshed_at(self, org: Org) -> datetime | None:
        """When an org's refresh token was last used, by any process."""
        async with self._store.database.reading() as connection:
            return await self._store.orgs.refreshed_at(connection, org.row_id)

    async def renew(self, org: Org) -> AccessToken:
        """Refresh although the token may still work: to use the refresh token before it dies of idleness."""
        live = self._live.setdefault(org.row_id, _Live())
        async with live.lock:
            live.current = await self._shielded(org, await self._stored(org))
            return live.current

    async def _other(self, org: Org, not_this: AccessToken | None) -> AccessToken:
        stored = await self._another(org, not_this)
        if stored is not None:
            return stored
        return await self._shielded(org, not_this)

    async def _shielded(self, org: Org, not_this: AccessToken | None) -> AccessToken:
        task = asyncio.ensure_future(self._refresh(org, not_this))
        self._refreshes.add(task)
        task.add_done_callback(self._refreshes.discard)
        return await asyncio.shield(task)  # a caller that gives up must not stop a refresh that was sent

    async def _stored(self, org: Org) -> AccessToken | None:
        async with self._store.database.reading() as connection:
            return await self._store.orgs.access_token(connection, org.row_id)

    async def _refresh(self, org: Org, not_this: AccessToken | None) -> AccessToken:
        """Get another token than ``not_this``, from Salesforce or from whoever is refreshing already.

        One holder of the org's lease asks, among all processes on the store; the others wait for what it stores.
        """
        holder = f"{self._store.audit.process_id}/{new_id()}"
        until = asyncio.get_running_loop().time() + LEASE_SECONDS
        life = int(LEASE_SECONDS * 1_000_000)
        while not await self._store.database.write(lambda tx: leases.take_in(tx, org.row_id, holder, life)):
            sibling = await self._another(org, not_this)
            if sibling is not None:
                return sibling
            if asyncio.get_running_loop().time() > until:
                raise NotSent(f"another process is refreshing {org.alias}", code="TOKEN_BUSY", hint="try again shortly")
            await asyncio.sleep(random.uniform(*_LEASE_PAUSE))  # noqa: S311  # so that waiting processes do not march in step
        try:
            return await self._another(org, not_this) or await self._ask(org, not_this)
        except _Busy as busy:
            reason = str(busy)
        finally:
            with suppress(StoreError):  # it ends by itself
                await self._store.database.write(lambda tx: leases.release_in(tx, org.row_id, holder))
        for pause in _BUSY_WAITS:  # without the lease, or whoever is refreshing might wait for us
            await asyncio.sleep(pause)
            sibling = await self._another(org, not_this)
            if sibling is not None:
                return sibling
        raise NotSent(f"{org.alias} gave no token: {reason}", code="TOKEN_BUSY", hint="try again shortly")

    async def _another(self, org: Org, not_this: AccessToken | None) -> AccessToken | None:
        """The stored token, if it is another one: somebody may have finished a refresh."""
        stored = await self._stored(org)
        return None if stored is None or _same(stored, not_this) else stored

    async def _ask(self, org: Org, not_this: AccessToken | None) -> AccessToken:
        """Ask Salesforce, once, and keep everything it answers before anybody uses it."""
        credential = await self._credential(org)
        where = hosts_of(org, org.instance_url)
        try:
            status, body = await self.client.token(where, oauth.refresh(credential))
            answer = oauth.read_tokens(status, body)
        except oauth.TokenRefused as refusal:
            return await self._refused(org, refusal, not_this)
        except NoConnection as error:
            await self._note(org, None, Problem("no_connection", _now(), "check the network and the login host"))
            raise NoConnection(f"the login host of {org.alias} could not be reached", hint=error.hint) from error
        except Unanswered as error:
            await self._note(org, OrgState.IN_DOUBT, None, "a refresh was sent and its answer was lost")
            raise NotSent(
                f"{org.alias} did not answer a token refresh", code="TOKEN_UNANSWERED", hint="try again in a minute"
            ) from error
        access = AccessToken(answer.access_token, answer.instance_url, credential.fencing + 1)
        await self._keep(org, credential, answer, access)
        logger.info("token refreshed", extra={"org": org.alias, "rotated": answer.refresh_token is not None})
        return access

    async def _keep(self, org: Org, credential: Credential, answer: oauth.TokenAnswer, access: AccessToken) -> None:
        """Store a token answer as the very next step; an answer for another org or host is not stored at all."""
        problem = _mismatch(org, answer)
        if problem is not None:
            await self._note(org, OrgState.QUARANTINED, None, problem)
            raise NeedsLogin(
                f"{org.alias} is quarantined: {problem}",
                code="QUARANTINED",
                hint="an administrator must look at this org",
            )
        refresh_token = answer.refresh_token or credential.refresh_token
        act = self._act(org, Action.REFRESH)

        def change(tx: Transaction) -> bool:
            stored = self._store.orgs.refreshed_in(tx, org.row_id, credential, refresh_token, access)
            if stored and org.org_id is None:  # registered with --no-verify: the first answer pins it
                self._store.orgs.change_in(tx, org.row_id, lambda known: replace(known, org_id=answer.org_id))
            self._store.audit.record_in(tx, act, Ending(Outcome.SUCCEEDED, api_calls=0, attempts=1))
            return stored

        if not await self._durably(change):
            raise NotSent(f"another process refreshed {org.alias} at the same moment", code="TOKEN_RACE")

    async def _durably(self, change: Callable[[Transaction], bool]) -> bool:
        """Write what must not be lost: a store that is away for a moment is asked again while we hold the answer."""
        for pause in _KEEP_TRYING:
            try:
                return await self._store.database.write(change)
            except StoreError:
                logger.exception("a token answer could not be stored yet")
                await asyncio.sleep(pause)
        return await self._store.database.write(change)

    async def _credential(self, org: Org) -> Credential:
        if org.state == OrgState.NEEDS_LOGIN:
            raise _needs_login(org, org.cause)
        if org.state == OrgState.QUARANTINED:
            raise NeedsLogin(f"{org.alias} is quarantined: {org.cause}", code="QUARANTINED")
        async with self._store.database.reading() as connection:
            credential = await self._store.orgs.credential(connection, org.row_id)
        if credential is None:
            raise _needs_login(org, "it has no credential")
        return credential

    async def _refused(self, org: Org, refusal: oauth.TokenRefused, not_this: AccessToken | None) -> AccessToken:
        """Tell a dead credential from everything that looks like it."""
        if refusal.kind == "busy":
            raise _Busy(refusal.reason)
        sibling = await self._another(org, not_this)
        if sibling is not None:
            return sibling
        if refusal.kind == "dead":
            await self._note(org, OrgState.NEEDS_LOGIN, None, refusal.reason)
            raise _needs_login(org, refusal.reason)
        if refusal.kind == "unclear":
            raise NotSent(
                f"{org.alias} gave no token: {refusal.reason}", code="TOKEN_UNAVAILABLE", hint="try again shortly"
            )
        await self._note(org, None, Problem(refusal.error, _now(), refusal.hint))
        raise NotSent(
            f"{org.alias} refused the credential: {refusal.reason}",
            code=refusal.error,
            category="auth_expired",
            retryable=False,
            hint=refusal.hint,
        )

    async def _note(
        self,
        org: Org,
        state: OrgState | None,
        problem: Problem | None,
        cause: str | None = None,
    ) -> None:
        """Keep what a token answer said, for people and for other processes."""
        act = self._act(org, Action.REFRESH)
        code = problem.code if problem else (state.value if state else None)

        def change(tx: Transaction) -> None:
            self._store.orgs.mark_in(tx, org.row_id, state=state, cause=cause, problem=problem)
            self._store.audit.record_in(tx, act, Ending(Outcome.REJECTED, error_code=code, attempts=1))

        logger.warning("no token for %s: %s", org.alias, code, extra={"org": org.alias})
        try:
            await self._store.database.write(change)
        except StoreError:
            logger.warning("the state of %s could not be stored", org.alias, extra={"org": org.alias})

    @staticmethod
    def _act(org: Org, action: Action) -> Act:
        return Act(
            id=new_id(),
            principal="orgserver",
            transport="stdio",
            action=action,
            org=org.alias,
            org_row=org.row_id,
            org_id=org.org_id,
        )

    async def close(self) -> None:
        """Wait for refreshes under way: what Salesforce answers them must not be lost."""
        while self._refreshes:
            await asyncio.gather(*self._refreshes, return_exceptions=True)


def _mismatch(org: Org, answer: oauth.TokenAnswer) -> str | None:
    if org.org_id is not None and answer.org_id != org.org_id:
        return f"its login host answered for another org ({answer.org_id})"
    try:
        hosts.check_url(answer.instance_url, org.trusted_hosts)
    except ValueError as error:
        return f"its login host named an instance that may not be trusted: {error}"
    return None


def _same(token: AccessToken, other: AccessToken | None) -> bool:
    return other is not None and token.fencing == other.fencing


def _needs_login(org: Org, cause: str | None) -> NeedsLogin:
    return NeedsLogin(
        f"{org.alias} needs a new login: {cause or 'its credential no longer works'}",
        hint=f"an administrator runs: orgserver add-org {org.alias} --replace",
    )


def _now() -> datetime:
    return when(microseconds())

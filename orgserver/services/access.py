"""Which org does a call mean, and with which token: alias and principal become a live connection.

One refresh at a time per org: whoever needs a token other than the refused one waits for the same answer.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from orgserver.model.audit import Act, Action, Ending, Outcome
from orgserver.model.errors import (
    NeedsLogin,
    NoConnection,
    NotSent,
    StaleToken,
    StoreError,
    Unanswered,
    UnknownOrg,
)
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import AccessToken, Caller, Credential, Org, OrgState, Problem, Scope
from orgserver.salesforce import hosts, oauth
from orgserver.salesforce.client import OrgHosts, SalesforceClient, Trace
from orgserver.salesforce.protocol import Reply, Request
from orgserver.store import leases
from orgserver.store.chain import when
from orgserver.store.opened import Store
from orgserver.store.orgs import Catalog
from orgserver.store.writer import Transaction, microseconds

T = TypeVar("T")
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


@dataclass(slots=True)
class Connection:
    """One call's way to one org; nothing else reaches it."""

    org: Org
    deadline: float
    """In the event loop's time."""
    trace: Trace
    _access: Access

    async def call(self, request: Request, read: Callable[[Reply], T]) -> T:
        """Send with the cached token; a stale one is replaced once.

        Raises CallError: NotSent, Rejected or Unanswered.
        """
        token = await self._access.token(self.org)
        try:
            reply = await self._send(token, request)
        except StaleToken:
            token = await self._access.token(self.org, not_this=token)
            reply = await self._send(token, request)
        return read(reply)

    async def _send(self, token: AccessToken, request: Request) -> Reply:
        where = self._access.hosts(self.org, token.instance_url)
        return await self._access.client.send(where, token.token, request, deadline=self.deadline, trace=self.trace)


class Access:
    """The catalog of orgs, who may see them, and their tokens."""

    def __init__(self, store: Store, client: SalesforceClient, scope: Scope) -> None:
        self.client = client
        self.scope = scope
        self._store = store
        self._catalog: Catalog | None = None
        self._live: dict[RowId, _Live] = {}
        self._refreshes: set[asyncio.Task[AccessToken]] = set()

    # -- orgs

    async def catalog(self) -> Catalog:
        """The orgs as last read; the audit log's intent proves that nothing has changed since."""
        return self._catalog or await self.reload()

    async def reload(self) -> Catalog:
        """Read the orgs again."""
        async with self._store.database.reading() as connection:
            catalog = await self._store.orgs.catalog(connection)
        self._catalog = catalog
        present = {org.row_id for org in catalog.by_alias.values()}
        for row_id in self._live.keys() - present:
            del self._live[row_id]
            await self.client.forget(row_id)
        return catalog

    async def changed(self) -> bool:
        """Tell whether the store has newer orgs than the ones last read."""
        async with self._store.database.reading() as connection:
            version = await self._store.orgs.catalog_version(connection)
        return self._catalog is None or version != self._catalog.version

    async def org(self, caller: Caller, alias: str) -> tuple[Org, int]:
        """Resolve an alias among the orgs this principal may use, with the catalog's version; else UnknownOrg.

        An org that was added a moment ago is found: before refusing, the store is read again.
        """
        catalog = await self.catalog()
        org = self._granted(caller, catalog).get(alias)
        if org is None:
            catalog = await self.reload()
            org = self._granted(caller, catalog).get(alias)
        if org is None:
            raise UnknownOrg(
                "no org of this name is available to you", hint="salesforce_list_orgs names those that are"
            )
        return org, catalog.version

    async def visible(self, caller: Caller) -> list[Org]:
        """Every org this principal may use, by alias, as the store has them now."""
        catalog = await self.reload() if await self.changed() else await self.catalog()
        return list(self._granted(caller, catalog).values())

    def _granted(self, caller: Caller, catalog: Catalog) -> dict[str, Org]:
        """Grants come with principals; until then everybody on stdio holds every org the server was started for."""
        del caller
        only = self.scope.orgs
        return {a: org for a, org in catalog.by_alias.items() if only is None or org.alias in only}

    def hosts(self, org: Org, instance_url: str) -> OrgHosts:
        """Where an org's token and credential may be sent."""
        return OrgHosts(org.row_id, instance_url, org.login_url, org.trusted_hosts)

    def connection(self, org: Org, deadline: float, trace: Trace) -> Connection:
        """Make one call's connection."""
        return Connection(org, deadline, trace, self)

    # -- tokens

    async def token(self, org: Org, *, not_this: AccessToken | None = None) -> AccessToken:
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

    async def _other(self, org: Org, not_this: AccessToken | None) -> AccessToken:
        stored = await self._another(org, not_this)
        if stored is not None:
            return stored
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
        where = self.hosts(org, org.instance_url)
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
        """Tell a dead credential from everything that looks like it (salesforce-tokens: answers that look alike)."""
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

"""Finds the org that an alias means among those its principal may use, and sends a call's requests to that org."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Permission, Principal, Role
from orgserver.model.access.standing import Standing
from orgserver.model.access.usage import ApiUse
from orgserver.model.errors import CallError, NotSent, StaleToken
from orgserver.model.orgs import Caller, Org, Scope
from orgserver.model.schema import SchemaLookup
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.services.calls import decision
from orgserver.services.calls.logins import find_seen
from orgserver.services.observer import Observer
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.limited_errors import limit_error
from orgserver.services.tokens.cache import LEASE_SECONDS, Tokens
from orgserver.services.tokens.refresh_outcomes import PAUSES, Pauses
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.people import api_usage
from orgserver.store.people.api_usage import CallBudget
from orgserver.store.session import Store

T = TypeVar("T")
_OF_THE_ORG = Policy()


class OrgSession(msgspec.Struct):
    """One call's session with one org; nothing else reaches it."""

    org: Org
    deadline: float
    """In the event loop's time."""
    trace: Trace
    _tokens: Tokens
    caller: str = ""
    """Who waits for the org's slots in turn with others."""
    entry_id: str = ""
    """The audit entry of the call."""
    policy: Policy = _OF_THE_ORG
    """What limits the caller in this org: the org's policy, until it is known what limits the caller beside it."""
    schemas: SchemaLookup = lambda _name: None
    """Schemas of the org's objects, as far as they are at hand."""
    masked: set[str] = msgspec.field(default_factory=set)
    """The masked fields of which parts were read, with their objects."""

    def __post_init__(self) -> None:
        if self.policy is _OF_THE_ORG:
            self.policy = self.org.policy

    @property
    def limits(self) -> FieldLimits:
        """What the policy hides and masks."""
        return FieldLimits.of(self.policy)

    def call(self, request: Request, read: Callable[[Reply], T], *, is_kept: bool = False) -> Awaitable[T]:
        """Send with the cached token, and read what the policy leaves of the reply; or (``is_kept``) all of it.

        All of it is for what nobody is shown: the values that a change replaces. Errors never name what is hidden.
        """
        limits = self.limits
        if limits.is_free:
            return self._send(request, read)
        return self._send_limited(limits, request, read, is_kept=is_kept)

    async def _send_limited(
        self, limits: FieldLimits, request: Request, read: Callable[[Reply], T], *, is_kept: bool
    ) -> T:
        def read_limited(reply: Reply) -> T:
            if not is_kept:
                self.masked |= limits.limit_records(reply.body, self.schemas, reply.rest)
            return read(reply)

        try:
            return await self._send(request, read_limited)
        except CallError as error:
            limit_error(limits, error)
            raise

    async def _send(self, request: Request, read: Callable[[Reply], T]) -> T:
        """Send with the cached token; a stale one is replaced once by one that was got since.

        ``read`` runs in a thread where the reply is large, and what it returns should be small: the reply is gone then.

        In between stands at most one that another process had stored: it may be as stale as ours.
        Raises CallError: NotSent, Rejected or Unanswered.
        """
        token = await self._tokens.current(self.org)
        new = False
        while True:
            try:
                where = self.org.hosts_with(token.instance_url)
                result = await self._tokens.client.call(
                    where, token.token, request, read, deadline=self.deadline, trace=self.trace, caller=self.caller
                )
                break
            except StaleToken as error:
                if rest.is_next_page(request) and self._tokens.ends_results(self.org, token, new=new):
                    raise rest.ended_with_session() from error
                if new:
                    raise self._tokens.refused_anew(self.org, token, str(error)) from error
            token, new = await self._tokens.after(self.org, token)
        self._tokens.accepted(self.org)
        return result


class Access:
    """The catalog of orgs, and who may see them."""

    def __init__(
        self,
        store: Store,
        client: SalesforceClient,
        scope: Scope,
        *,
        lease_seconds: float = LEASE_SECONDS,
        observer: Observer | None = None,
        pauses: Pauses = PAUSES,
    ) -> None:
        self.client = client
        self.scope = scope
        self._store = store
        self._catalog: OrgSnapshot | None = None
        self._reloading = asyncio.Lock()
        self.tokens = Tokens(
            store,
            client,
            lease_seconds=lease_seconds,
            token_seconds=client.token_seconds,
            observer=observer,
            pauses=pauses,
        )

    async def catalog(self) -> OrgSnapshot:
        """The orgs as last read; the audit log's intent proves that nothing has changed since."""
        return self._catalog or await self.reload()

    async def reload(self) -> OrgSnapshot:
        """Read what has changed of the orgs, one reader after the other: each goes on from what was read before."""
        async with self._reloading, self._store.database.reading() as connection:
            catalog = await self._store.orgs.catalog(connection, self._catalog)
            self._catalog = catalog
        await self.tokens.follow(catalog)
        return catalog

    async def changed(self) -> bool:
        """Tell whether the store has newer orgs than the ones last read."""
        reader = self._store.database.version_reader
        version = reader.read()
        if version is None:
            version = await reader.ask_version()
        return self._catalog is None or version != self._catalog.version

    async def org(self, caller: Caller, alias: str) -> tuple[Org, int]:
        """Resolve an alias among the orgs this principal may use, with the catalog's version; else UnknownOrg.

        An org that was added a moment ago is found: before refusing, the store is read again.
        """
        while True:
            catalog = self._catalog or await self.reload()
            org = self._find(caller, catalog, alias)
            if org is not None:
                return org, catalog.version
            if not await self.is_outdated(catalog.version):
                raise decision.unknown_org(self.scope, alias)

    async def is_outdated(self, version: int | None) -> bool:
        """Whether what was true of a version must be asked anew: the store has a newer, or another call has read one.

        Afterwards the orgs are as the store has them.
        """
        changed = await self.changed()
        if changed:
            await self.reload()
        return changed or (version is not None and version != (await self.catalog()).version)

    async def current_org(self, caller: Caller, alias: str) -> Org | None:
        """The org of an alias as the store has it now, for what no intent follows; None where there is none to see."""
        catalog = await self._current()
        return self._find(caller, catalog, alias)

    def standing(self, caller: Caller) -> Standing | None:
        """What the store says of a caller, as the orgs were last read; None of who is no principal there."""
        if self._catalog is None or caller.principal.is_local:
            return None
        return self._catalog.standings.get(caller.principal.name)

    async def has_role(self, principal: Principal, role: Role) -> bool:
        """Whether a principal has a role, as the store has it now."""
        standing = (await self._current()).standings.get(principal.name)
        return standing is not None and standing.enabled and role in standing.roles

    def policy(self, caller: Caller, org: Org) -> Policy:
        """What limits a caller in an org: the org's policy, and the caller's own limits."""
        return decision.effective_policy(caller.principal, self.standing(caller), org)

    def permissions(self, caller: Caller, org: Org) -> frozenset[Permission]:
        """What a caller may do in an org, as far as this server lets anybody."""
        permissions = decision.permissions_in(caller.principal, self.standing(caller), self.scope, org, self.now())
        return permissions if caller.scopes is None else permissions & caller.scopes

    def now(self) -> datetime:
        """The store's time."""
        return datetime.fromtimestamp(self._store.database.clock() / 1_000_000, UTC)  # exact, until the year 2242

    async def api_use(self, budget: CallBudget) -> ApiUse:
        """What was used up today of what limits a call, as the store has it now."""
        database = self._store.database
        async with database.reading() as connection:
            return await api_usage.read_use(connection, budget.org_id, budget.principal, database.clock())

    async def as_seen_by(self, reader: Caller, org: Org) -> Org:
        """An org that another caller may use, with the login of this one."""
        catalog = await self.catalog()
        bare = catalog.by_row.get(org.row_id, org)
        return find_seen(catalog, bare, reader.principal.name)

    async def pin(self, org: Org) -> None:
        """Learn from the answer to a token request which org an alias means, or whom an assertion logs in.

        With the id comes the policy that binds it, in the same transaction. NotSent if it does not say.
        """
        await self.tokens.current(org)
        if self._is_pinned(org, await self.reload()):
            return
        await self.tokens.renew(org)  # its access token came from a rescue file, which names no org
        if not self._is_pinned(org, await self.reload()):
            raise NotSent(f"{org.alias} has not said which org it is, so nothing was sent", code="ORG_NOT_KNOWN")

    @staticmethod
    def _is_pinned(org: Org, catalog: OrgSnapshot) -> bool:
        """Whether its id is known by now; of an org that was removed meanwhile, nothing more is to be learnt."""
        known = catalog.find_login(org.login)
        return known is None or (known.org_id is not None and (known.user is not None or not org.login.is_own))

    async def visible(self, caller: Caller) -> list[Org]:
        """Every org this principal may use, by alias, as the store has them now, each with the caller's login."""
        if caller.scopes is not None and "read" not in caller.scopes:
            return []
        catalog = await self._current()
        orgs = catalog.by_alias.values()
        granted = decision.find_orgs(caller.principal, self.standing(caller), self.scope, orgs, self.now())
        return [find_seen(catalog, org, caller.principal.name) for org in granted]

    async def _current(self) -> OrgSnapshot:
        return await self.reload() if await self.changed() else await self.catalog()

    def _find(self, caller: Caller, catalog: OrgSnapshot, alias: str) -> Org | None:
        """The org of an alias with the caller's login, if they may use it: one look-up, however many orgs there are."""
        standing = self.standing(caller)
        org = decision.find_org(caller.principal, standing, self.scope, catalog.by_alias, alias, self.now())
        return find_seen(catalog, org, caller.principal.name) if org is not None else None

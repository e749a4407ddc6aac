"""Which orgs may a principal use, and what should an agent know of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import PERMISSIONS, Permission
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.names import Alias
from orgserver.model.orgs import Caller, Org, OrgState
from orgserver.model.text import clean_text
from orgserver.services.calls.access import Access
from orgserver.services.calls.plan import Call, CallLog
from orgserver.services.observer import Watched
from orgserver.services.results import cursors
from orgserver.services.results.byte_budget import ByteBudget
from orgserver.services.results.cursors import Position
from orgserver.vault.keys import Key

PAGE = 100
NO_ORGS = "no org is available to you; an administrator grants them"
READING: frozenset[Permission] = frozenset({"read"})


@dataclass(frozen=True, slots=True)
class OrgPage:
    """Some orgs, in their public form, and where the rest begins."""

    orgs: list[dict[str, Any]]
    next_cursor: str | None = None
    warnings: tuple[str, ...] = ()


class VisibleOrgs:
    """The orgs of a principal, a page at a time."""

    def __init__(self, access: Access, log: CallLog, key: Key, store: str) -> None:
        self._access = access
        self._log = log
        self._key = key
        self._store = store

    async def page(self, call: Call, match: str | None, cursor: str | None) -> OrgPage:
        """Name orgs whose alias, name or tag holds ``match``; InvalidArgument for a foreign cursor.

        Asks no org, so it is no audit entry.
        """
        intent = structs.replace(call.intent(Action.LIST), id="")
        watched = Watched(intent, Completion(Outcome.SUCCEEDED))
        return await self._log.observe(watched, self._page(call.caller, match, cursor))

    async def aliases(self, call: Call) -> list[Alias]:
        """The aliases of all of them, for a person who types one."""
        intent = structs.replace(call.intent(Action.LIST), id="")
        watched = Watched(intent, Completion(Outcome.SUCCEEDED))
        return [org.alias for org in await self._log.observe(watched, self._access.visible(call.caller))]

    async def _page(self, caller: Caller, match: str | None, cursor: str | None) -> OrgPage:
        arguments = {"tool": "list_orgs", "match": match}
        principal = caller.principal.name
        first = 0
        if cursor is not None:
            first = cursors.read(self._key, cursor, org="", principal=principal, arguments=arguments).skip
        granted_orgs = await self._access.visible(caller)
        visible_orgs = [org for org in granted_orgs if matches(org, match)]
        shown = self._fitting(caller, visible_orgs[first : first + PAGE])
        following = None
        if len(visible_orgs) > first + len(shown):
            position = Position(skip=first + len(shown))
            following = cursors.write(self._key, position, org="", principal=principal, arguments=arguments)
        return OrgPage(shown, following, await self._warnings(caller, is_empty=not granted_orgs))

    async def _warnings(self, caller: Caller, *, is_empty: bool) -> tuple[str, ...]:
        """That nobody has registered an org yet: the store may be another one than the operator thinks.

        Whoever has grants is told of those alone, and not what is in the store.
        """
        if not caller.principal.is_local:
            return (NO_ORGS,) if is_empty else ()
        if (await self._access.catalog()).by_alias:
            return ()
        how = "a person adds one in a terminal, with the ORGSERVER_HOME of this server: orgserver add-org ALIAS"
        return (f"no org is registered in {self._store} yet; {how}",)

    def _facts(self, caller: Caller, org: Org) -> dict[str, Any]:
        """An org as its caller sees it, with what the caller may do there."""
        policy = self._access.policy(caller, org)
        is_read_only = policy.read_only or self._access.scope.read_only
        permissions = self._access.permissions(caller, org)
        return describe_org(org, policy, permissions & READING if is_read_only else permissions, read_only=is_read_only)

    def _fitting(self, caller: Caller, orgs: Sequence[Org]) -> list[dict[str, Any]]:
        """The first of them, as many as a result holds."""
        budget = ByteBudget()
        shown: list[dict[str, Any]] = []
        for org in orgs:
            facts = self._facts(caller, org)
            if not budget.take(facts) and shown:
                break
            shown.append(facts)
        return shown


def describe_org(org: Org, policy: Policy, permissions: frozenset[Permission], *, read_only: bool) -> dict[str, Any]:
    """An org as ``salesforce_list_orgs`` tells it."""
    facts: dict[str, Any] = {
        "org": org.alias,
        "org_id": org.org_id,
        "name": clean_text(org.name),
        "kind": org.kind,
        "state": org.visible_state.value,
        "permissions": [each for each in PERMISSIONS if each in permissions],
        "user": None,
        "read_only": read_only,
        "confirm_deletes": policy.confirm_deletes,
    }
    if org.user is not None:
        facts["user"] = {
            "id": org.user.id,
            "username": clean_text(org.user.username),
            "time_zone": clean_text(org.user.time_zone),
        }
    if org.problem is not None:
        facts["problem"] = problem(org)
    return facts


def problem(org: Org) -> dict[str, Any] | None:
    """The last refusal that did not kill the credential."""
    if org.problem is None:
        return None
    return {"code": clean_text(org.problem.code), "since": org.problem.since.isoformat(), "hint": org.problem.hint}


def needs_somebody(org: Org) -> bool:
    """Whether it waits for a person: its login is dead, in doubt, held back or refused."""
    return org.state is not OrgState.READY or org.problem is not None or org.refresh_suspended


def matches(org: Org, match: str | None) -> bool:
    """Whether an org's alias, name or one of its tags holds a text."""
    if not match:
        return True
    needle = match.casefold()
    return any(needle in text.casefold() for text in (org.alias, org.name, *org.tags))

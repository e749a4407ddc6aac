"""How many orgs get in at once: what a source offers, what will become of each, and doing it.

Nothing is kept of an import itself. What is registered is left alone, an enrolment that was broken off is gone on with
by ``Enrolment.add``, and so the same import run again does what is missing.
"""

from __future__ import annotations

import asyncio
import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from orgserver.model.access.logins import LoginKey
from orgserver.model.access.policies import Policy
from orgserver.model.errors import EnrolmentError, OrgserverError
from orgserver.model.names import Alias, OrgId
from orgserver.model.orgs import Caller, Org, OrgState
from orgserver.model.secret import Secret
from orgserver.salesforce import hosts
from orgserver.salesforce.auth import audiences
from orgserver.services.calls.access import Access
from orgserver.services.orgs.enrolment import Enrolled, Enrolment
from orgserver.services.orgs.known_tokens import KnownTokens
from orgserver.services.orgs.registration import Registration
from orgserver.services.orgs.registry import Registry
from orgserver.services.tokens.token_errors import log_in_again
from orgserver.store.orgs.token_digests import digest_token
from orgserver.store.session import Store

logger = logging.getLogger("orgserver.tokens")

AT_ONCE = 16
"""How many orgs are proven at a time."""
_MAX_ALIAS = 63


@dataclass(frozen=True, slots=True)
class Candidate:
    """One org that a source offers."""

    source: str
    """Where it stands there, for people: what ``show-org`` tells later."""
    place: str
    """The same in short, for what is said about another candidate: ``row 3``."""
    name: str
    """The alias, or what one is made from."""
    prepare: Callable[[Alias], Awaitable[Registration]]
    """Gives all that is needed to register it; may fail with an OrgserverError."""
    exact: bool = True
    """``name`` is the alias itself, which its source chose."""
    username: str | None = None
    org_id: OrgId | None = None
    url: str | None = None
    token: Secret | None = None
    """The refresh token, where it is known before the org's turn comes."""
    client_id: str | None = None
    """The app, of a credential that has no refresh token."""
    problem: str | None = None
    """Why it cannot be imported, where its source knows that already."""
    policy: Policy = field(default_factory=Policy)
    """The limits that its source gives it."""
    label: str | None = None
    """What its audit entries say of where it comes from; None: what the caller brings."""


class Fate(StrEnum):
    """What will become of a candidate."""

    NEW = "new"
    REGISTERED = "registered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PlannedOrg:
    """A candidate, and what will become of it."""

    candidate: Candidate
    fate: Fate
    alias: str
    """What it is or will be registered as; what its source calls it, where it is refused."""
    note: str = ""
    """Why it is refused, or why its alias is another than its source would have it."""
    tightened: tuple[Alias, ...] = ()
    """Other aliases of the same org that become stricter with it, as far as that is known before the org answers."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of a planned org: one of the two is set."""

    planned: PlannedOrg
    enrolled: Enrolled | None
    error: OrgserverError | None


class OrgImport:
    """Plans an import and carries it out."""

    def __init__(self, store: Store, access: Access, registry: Registry, enrolment: Enrolment) -> None:
        self._store = store
        self._access = access
        self._registry = registry
        self._enrolment = enrolment

    async def plan(self, candidates: Sequence[Candidate]) -> list[PlannedOrg]:
        """Say what will become of each candidate, in their order; nothing is sent or written."""
        orgs = {org.alias: org for org in await self._registry.all()}
        by_token = await KnownTokens(self._store).by_digest()
        by_user = {(org.org_id, org.user.username): org for org in orgs.values() if org.org_id and org.user}
        places = _Places(candidates)
        twins = _Twins(orgs.values())
        taken: set[str] = {*orgs, *(each.name for each in candidates if each.exact)}
        plan = []
        for each in candidates:
            org = by_user.get((each.org_id, each.username or "")) if each.org_id else None
            org = org or await self._same_credential(each, orgs, by_token)
            entry = _left_alone(each, org) if org else _refused(each, orgs, places)
            if entry is None:
                entry = replace(_new(each, taken), tightened=twins.tightened(each))
                taken.add(entry.alias)
            plan.append(entry)
        return plan

    async def carry_out(
        self,
        caller: Caller,
        plan: Iterable[PlannedOrg],
        tell: Callable[[ImportResult], None],
        command: str = "import-orgs",
    ) -> list[ImportResult]:
        """Register what is new, a few at once; ``tell`` hears of each as it is done. A failure stops no other."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(each: PlannedOrg) -> ImportResult:
            async with places:
                result = await self._register(caller, each, command)
            tell(result)
            return result

        # Not gather: interrupted, it would not wait for those that are just sealing a rotated token.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(each)) for each in plan if each.fate is Fate.NEW]
        await self._access.reload()
        return [task.result() for task in tasks]

    async def _register(self, caller: Caller, planned: PlannedOrg, command: str) -> ImportResult:
        caller = replace(caller, label=planned.candidate.label or caller.label)
        try:
            registration = replace(await planned.candidate.prepare(Alias(planned.alias)), command=command)
            return ImportResult(planned, await self._enrolment.add(caller, registration, is_one_of_many=True), None)
        except OrgserverError as error:
            return ImportResult(planned, None, error)
        except Exception as error:
            logger.exception("an org could not be imported", extra={"org": planned.alias})
            unforeseen = EnrolmentError(f"something unforeseen went wrong ({type(error).__name__})")
            return ImportResult(planned, None, unforeseen)

    async def _same_credential(
        self, candidate: Candidate, orgs: dict[Alias, Org], by_token: dict[str, Alias]
    ) -> Org | None:
        """The org that is registered with this refresh token or, where there is none, as this app and user."""
        if candidate.token is not None:
            alias = by_token.get(digest_token(candidate.token))
            return orgs.get(alias) if alias else None
        org = orgs.get(Alias(candidate.name)) if candidate.exact and candidate.client_id else None
        if org is None or org.holds_refresh_token:
            return None
        async with self._store.database.reading() as connection:
            credential = await self._store.orgs.credentials.credential(connection, LoginKey.shared(org.row_id))
        theirs = (credential.client_id, credential.username) if credential else None
        return org if theirs == (candidate.client_id, candidate.username) else None


class _Places:
    """Where in a source the same alias or the same refresh token stands more than once."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._aliases: dict[str, list[Candidate]] = defaultdict(list)
        self._tokens: dict[str, list[Candidate]] = defaultdict(list)
        for each in candidates:
            if each.exact:
                self._aliases[each.name].append(each)
            if each.token is not None:
                self._tokens[digest_token(each.token)].append(each)

    def conflict(self, candidate: Candidate) -> str | None:
        """Say with which other candidate this one cannot go together."""
        if candidate.token is not None:
            others = _others(self._tokens[digest_token(candidate.token)], candidate)
            if others:
                return f"its refresh token is also that of {others}"
        others = _others(self._aliases.get(candidate.name, []), candidate) if candidate.exact else ""
        return f"its alias is also that of {others}" if others else None


def made_alias(text: str) -> str:
    """An alias from what another program calls an org."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9_-]+", "-", plain).lstrip("-_").rstrip("-")
    return made[:_MAX_ALIAS] or "org"


def _others(all_of_them: Sequence[Candidate], one: Candidate) -> str:
    return ", ".join(each.place for each in all_of_them if each is not one)


def _left_alone(candidate: Candidate, org: Org) -> PlannedOrg:
    notes = []
    if candidate.exact and candidate.name != org.alias:
        notes.append(f"{candidate.place} calls it {candidate.name}")
    if org.state is OrgState.NEEDS_LOGIN:
        notes.append(f"needs a login: {log_in_again(org)}")
    return PlannedOrg(candidate, Fate.REGISTERED, org.alias, "; ".join(notes))


def _refused(candidate: Candidate, orgs: Container[str], places: _Places) -> PlannedOrg | None:
    problem = candidate.problem or places.conflict(candidate)
    if problem is None and candidate.exact and candidate.name in orgs:
        problem = f"{candidate.name} is registered with another credential; choose another alias"
    return PlannedOrg(candidate, Fate.REFUSED, candidate.name, problem) if problem else None


class _Twins:
    """Registered orgs by what tells that a candidate is one of them: their ids, and where they are."""

    def __init__(self, orgs: Iterable[Org]) -> None:
        self._by_id: dict[OrgId, list[Org]] = defaultdict(list)
        self._by_url: dict[str, list[Org]] = defaultdict(list)
        for org in orgs:
            self._by_url[org.instance_url].append(org)
            if org.org_id is not None:
                self._by_id[org.org_id].append(org)

    def tightened(self, candidate: Candidate) -> tuple[Alias, ...]:
        """Which registered aliases of the same org the candidate's limits would bind."""
        twins = sorted(self._of(candidate), key=lambda org: org.alias)
        return tuple(org.alias for org in twins if org.policy.strictest(candidate.policy) != org.policy)

    def _of(self, candidate: Candidate) -> Iterator[Org]:
        if candidate.org_id is not None:
            yield from self._by_id.get(candidate.org_id, ())
        url = (candidate.url or "").lower().rstrip("/")
        if audiences.is_my_domain(url) or not hosts.is_salesforces(url):  # it belongs to one org
            some = self._by_url.get(url, ())
            yield from (org for org in some if candidate.org_id is None or org.org_id is None)


def _new(candidate: Candidate, taken: Container[str]) -> PlannedOrg:
    if candidate.exact:
        return PlannedOrg(candidate, Fate.NEW, candidate.name)
    base = alias = made_alias(candidate.name)
    number = 1
    while alias in taken:
        number += 1
        alias = f"{base[: _MAX_ALIAS - len(str(number)) - 1]}-{number}"
    if alias != base:
        return PlannedOrg(candidate, Fate.NEW, alias, f"{base} is taken")
    note = "" if alias == candidate.name else f"from {candidate.name}"
    return PlannedOrg(candidate, Fate.NEW, alias, note)

"""The changes that make the store as files say, each done by the service that does it for a single command."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from orgserver.model.access.logins import Identity, UsernameFrom
from orgserver.model.access.policies import Policy
from orgserver.model.orgs import Caller, Org
from orgserver.services.configuration.declarations import OrgDeclaration, Place
from orgserver.services.orgs.changes import OrgChanges, change_org_in
from orgserver.services.orgs.identities import loosens
from orgserver.services.people.composition import People
from orgserver.services.people.differences import Update
from orgserver.services.people.requests import GroupChanges, PrincipalChanges
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

COMMAND = "apply"
Verb = Literal["add", "update", "remove"]


@dataclass(frozen=True, slots=True)
class OrgUpdate:
    """An org as it was and as it is."""

    before: Org
    after: Org


@dataclass(frozen=True, slots=True)
class Services:
    """What steps are done by."""

    store: Store
    people: People


@dataclass(frozen=True, slots=True)
class OrgStep:
    """A registered org is to be changed."""

    place: Place | None
    """None: no file has it."""
    name: str
    org: Org = field(compare=False)
    """Of which much may change meanwhile that does not matter here."""
    limits: Policy | None
    """Its limits, which are to be others; None: they stay."""
    changes: OrgChanges

    @property
    def policies(self) -> tuple[Policy, Policy] | None:
        """The limits before and after, where they change."""
        return (self.limits, self.changes.policy.apply(self.limits)) if self.limits is not None else None

    @property
    def enables(self) -> bool:
        """Whether calls pass again that an operator had stopped."""
        return self.changes.enabled is True

    @property
    def shares(self) -> str | None:
        """The identity that it goes back to, where more people then act as one user."""
        identity, _ = self._identity()
        return identity if loosens(self.org.identity, identity) else None

    def _identity(self) -> tuple[Identity, UsernameFrom | None]:
        change = self.changes.identity
        return change.apply(self.org) if change is not None else (self.org.identity, self.org.username_from)

    def run_in(self, tx: Transaction, services: Services, caller: Caller) -> OrgUpdate:
        """Do it."""
        after = change_org_in(tx, services.store, caller, COMMAND, self.org, self.changes, seen=self.limits)
        return OrgUpdate(self.org, after)

    def rehearse(self) -> OrgUpdate:
        """What it will do. Nothing but a change from elsewhere stands against it."""
        enabled, tags = self.changes.enabled, self.changes.tags
        identity, username_from = self._identity()
        after = replace(
            self.org,
            enabled=self.org.enabled if enabled is None else enabled,
            tags=self.org.tags if tags is None else tags,
            policy=self.changes.policy.apply(self.org.policy),
            identity=identity,
            username_from=username_from,
        )
        return OrgUpdate(self.org, after)


@dataclass(frozen=True, slots=True)
class GroupStep:
    """A group is to be added, changed or removed."""

    place: Place | None
    verb: Verb
    name: str
    changes: GroupChanges = field(default_factory=GroupChanges)
    policies: None = None
    enables: bool = False

    def run_in(self, tx: Transaction, services: Services, caller: Caller) -> Update:
        """Do it."""
        groups = services.people.groups
        if self.verb == "add":
            return groups.add_in(tx, caller, COMMAND, self.name, self.changes)
        if self.verb == "update":
            return groups.update_in(tx, caller, COMMAND, self.name, self.changes)
        return groups.remove_in(tx, caller, COMMAND, self.name)


@dataclass(frozen=True, slots=True)
class PrincipalStep:
    """A principal is to be added, changed or removed."""

    place: Place | None
    verb: Verb
    name: str
    changes: PrincipalChanges = field(default_factory=PrincipalChanges)
    limits: Policy | None = None
    """Its own limits, which are to be others; None: they stay, or are its first."""

    @property
    def policies(self) -> tuple[Policy, Policy] | None:
        """The limits before and after, where they change."""
        return (self.limits, self.changes.limits.apply(self.limits)) if self.limits is not None else None

    @property
    def enables(self) -> bool:
        """Whether it may call again although an operator had stopped it."""
        return self.verb == "update" and self.changes.enabled is True

    def run_in(self, tx: Transaction, services: Services, caller: Caller) -> Update:
        """Do it."""
        principals = services.people.principals
        if self.verb == "add":
            return principals.add_in(tx, caller, COMMAND, self.name, self.changes)
        if self.verb == "update":
            return principals.update_in(tx, caller, COMMAND, self.name, self.changes, seen=self.limits)
        return principals.remove_in(tx, caller, COMMAND, self.name)


Step = OrgStep | GroupStep | PrincipalStep


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An org is to be registered."""

    declaration: OrgDeclaration
    problem: str | None
    """Why the files are not enough for it; what to do about it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be done."""

    version: int
    """Of the store that was compared."""
    steps: tuple[Step, ...]
    """Done together or not at all, where they are not very many."""
    enrolments: tuple[Enrolment, ...]
    later: tuple[tuple[str, Step], ...]
    """Grants on orgs that are not registered yet, each with the org's alias."""
    surplus: tuple[str, ...]
    """What the store has and no file, and is left alone."""
    notes: tuple[str, ...]
    """What files say and nothing comes of: grants whose end has come, orgs that are to be neither here nor used."""

    @property
    def is_empty(self) -> bool:
        """Whether everything is as the files say."""
        return not (self.steps or self.enrolments or self.later)

    def does_the_same_as(self, other: Plan) -> bool:
        """Whether another one, made of a later store, would do nothing else."""
        return (self.steps, self.enrolments, self.later) == (other.steps, other.enrolments, other.later)

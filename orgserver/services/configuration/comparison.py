"""What is another in the files than in the store, as the steps that change it. Nothing is sent or written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from orgserver.model.access.policy_edits import PolicyEdit
from orgserver.model.access.principals import Grant
from orgserver.model.errors import ConfigError
from orgserver.model.names import Alias, nearest
from orgserver.services.configuration import org_comparison
from orgserver.services.configuration.declarations import (
    Configuration,
    GrantDeclaration,
    GroupDeclaration,
    PrincipalDeclaration,
)
from orgserver.services.configuration.inventory import Inventory
from orgserver.services.configuration.steps import GroupStep, Plan, PrincipalStep, Step
from orgserver.services.people.requests import GrantChanges, GrantRequest, GroupChanges, PrincipalChanges
from orgserver.store.people.records import GroupRecord, PrincipalRecord


def compare(configuration: Configuration, inventory: Inventory, *, prune: bool, now: datetime) -> Plan:
    """Make the plan; ConfigError is one line for what cannot be done by these files."""
    return _Comparison(configuration, inventory, prune=prune, now=now).plan()


class _Comparison:
    def __init__(self, configuration: Configuration, inventory: Inventory, *, prune: bool, now: datetime) -> None:
        self._files = configuration
        self._store = inventory
        self._prune = prune
        self._now = now
        self._later: list[tuple[str, Step]] = []
        self._surplus: list[str] = []
        self._notes: list[str] = []

    def plan(self) -> Plan:
        if self._prune:
            self._refuse_missing_sections()
        orgs = org_comparison.compare(self._files, self._store, prune=self._prune)
        self._surplus += orgs.surplus
        self._notes += orgs.notes
        removals: list[Step] = [*self._removed_groups(), *self._removed_principals()]
        principals = [step for each in self._files.principals.values() for step in self._principal(each)]
        groups = [step for each in self._files.groups.values() for step in self._group(each)]
        # What leaves comes first: its name, or whose subject it is, may be somebody else's now.
        steps: list[Step] = [*orgs.steps, *removals, *sorted(principals, key=_keeps_subjects), *groups]
        return Plan(
            self._store.version,
            tuple(steps),
            orgs.enrolments,
            tuple(self._later),
            tuple(self._surplus),
            tuple(self._notes),
        )

    def _refuse_missing_sections(self) -> None:
        """An empty folder or a file that was forgotten is not to take everything away."""
        enabled = [org for org in self._store.orgs.values() if org.enabled]
        for section, every in (
            ("orgs", enabled),
            ("groups", self._store.groups),
            ("principals", self._store.principals),
        ):
            if every and section not in self._files.sections:
                verb = "disable" if section == "orgs" else "remove"
                raise ConfigError(
                    f"--prune would {verb} all {section} ({len(every)}), for {self._files.source} has no {section}",
                    hint=f"if that is meant, write {section}: {{}}",
                )

    # -- principals

    def _removed_principals(self) -> Iterator[PrincipalStep]:
        for name in self._absent(self._store.principals, self._files.principals, "principal"):
            yield PrincipalStep(None, "remove", name)

    def _principal(self, declaration: PrincipalDeclaration) -> Iterator[Step]:
        record = self._store.principals.get(declaration.name)
        grants = self._grants(declaration.name, declaration.grants, record.grants if record else ())
        changes = _principal_changes(declaration, record, prune=self._prune)
        place, name = declaration.place, declaration.name
        if record is None:
            limits = PolicyEdit.replacing(declaration.limits) if declaration.limits is not None else PolicyEdit()
            yield PrincipalStep(place, "add", name, replace(changes, limits=limits, grants=grants))
        else:
            self._leave(f"{name}: role", record.roles.difference(declaration.roles, changes.no_roles))
            subjects = set(record.subjects).difference(declaration.subjects, changes.no_subjects)
            self._leave(f"{name}: subject", (f"{each.subject} of {each.issuer}" for each in subjects))
            limits = changes.limits
            seen = record.limits if limits else None
            if changes.no_subjects:
                only = PrincipalChanges(no_subjects=changes.no_subjects)
                yield PrincipalStep(place, "update", name, only)
                changes = replace(changes, no_subjects=())
            changes = replace(changes, grants=grants)
            if changes != PrincipalChanges():
                yield PrincipalStep(place, "update", name, changes, seen)
        self._add_later(declaration)

    # -- groups

    def _removed_groups(self) -> Iterator[GroupStep]:
        for name in self._absent(self._store.groups, self._files.groups, "group"):
            yield GroupStep(None, "remove", name)

    def _group(self, declaration: GroupDeclaration) -> Iterator[Step]:
        record = self._store.groups.get(declaration.name)
        grants = self._grants(declaration.name, declaration.grants, record.grants if record else ())
        place, name = declaration.place, declaration.name
        if record is None:
            changes = GroupChanges(declaration.claim, declaration.members or (), (), grants)
            yield GroupStep(place, "add", name, changes)
        else:
            changes = self._group_changes(declaration, record, grants)
            if changes != GroupChanges():
                yield GroupStep(place, "update", name, changes)
        self._add_later(declaration)

    def _group_changes(self, declaration: GroupDeclaration, record: GroupRecord, grants: GrantChanges) -> GroupChanges:
        by_hand = "" if declaration.members is not None and record.claim is not None else None
        claim = declaration.claim if declaration.claim != record.claim else None
        members = declaration.members or ()
        absent = [each for each in record.members if each not in members]
        if self._prune:  # those who are removed leave by themselves
            former = tuple(each for each in absent if each in self._files.principals)
        else:
            former = ()
            self._leave(f"{record.name}: member", absent)
        new = tuple(each for each in members if each not in record.members)
        return GroupChanges(by_hand if claim is None else claim, new, former, grants)

    # -- grants

    def _grants(self, holder: str, declarations: Iterable[GrantDeclaration], own: Iterable[Grant]) -> GrantChanges:
        by_selector = {grant.selector.text: grant for grant in own}
        requests, revoked = [], []
        for each in declarations:
            before = by_selector.pop(each.selector.text, None)
            if each.until is not None and each.until <= self._now:
                self._notes.append(f"{each.place}: {holder}'s grant on {each.selector.text} has ended")
                if before is not None and not before.is_over(self._now):
                    revoked.append(before.selector)
            elif self._waits(each):
                continue
            elif before is None or (before.permissions, before.until) != (each.permissions, each.until):
                self._refuse_unknown(each)
                requests.append(GrantRequest(each.selector, each.permissions, each.until))
        if self._prune:
            revoked += [grant.selector for grant in by_selector.values()]
        else:
            self._leave(f"{holder}: grant on", by_selector)
        return GrantChanges(tuple(requests), None, tuple(revoked))

    def _waits(self, grant: GrantDeclaration) -> bool:
        """Whether it is on an org that is to be registered first."""
        alias = Alias(grant.selector.text)
        return grant.selector.kind == "alias" and alias not in self._store.orgs and alias in self._files.orgs

    def _is_never(self, grant: GrantDeclaration) -> bool:
        """Whether its org is neither registered nor to be."""
        org = self._files.orgs.get(Alias(grant.selector.text))
        return org is not None and org.enabled is False

    def _refuse_unknown(self, grant: GrantDeclaration) -> None:
        alias = grant.selector.text
        if grant.selector.kind != "alias" or alias in self._store.orgs:
            return
        near = nearest(alias, {*self._store.orgs, *self._files.orgs})
        meant = f"did you mean {near}? " if near else ""
        raise ConfigError(
            f"{grant.place}: no org is registered as {alias}, and no file has it under orgs",
            hint=f"{meant}if it was removed, take its grants out of the files",
        )

    def _add_later(self, holder: PrincipalDeclaration | GroupDeclaration) -> None:
        """Grants that wait for their org, a step for each org."""
        for each in holder.grants:
            is_over = each.until is not None and each.until <= self._now
            if is_over or not self._waits(each) or self._is_never(each):
                continue
            grants = GrantChanges((GrantRequest(each.selector, each.permissions, each.until),))
            step: Step
            if isinstance(holder, GroupDeclaration):
                step = GroupStep(each.place, "update", holder.name, GroupChanges(grants=grants))
            else:
                step = PrincipalStep(each.place, "update", holder.name, PrincipalChanges(grants=grants))
            self._later.append((each.selector.text, step))

    # -- what no file has

    def _absent(self, every: Iterable[str], declarations: Iterable[str], noun: str) -> list[str]:
        """Those that are to be removed."""
        absent = [name for name in every if name not in declarations]
        if self._prune:
            return absent
        self._leave(noun, absent)
        return []

    def _leave(self, what: str, names: Iterable[str]) -> None:
        self._surplus += [f"{what} {name}" for name in sorted(names)]


def _principal_changes(
    declaration: PrincipalDeclaration, record: PrincipalRecord | None, *, prune: bool
) -> PrincipalChanges:
    """All but its grants, and the limits of a new one."""
    if record is None:
        return PrincipalChanges(
            kind=declaration.kind,
            enabled=declaration.enabled,
            roles=declaration.roles,
            subjects=declaration.subjects,
        )
    has_limits = declaration.limits is not None and declaration.limits != record.limits
    absent_roles = record.roles.difference(declaration.roles) if prune else ()
    absent_subjects = [each for each in record.subjects if each not in declaration.subjects] if prune else ()
    return PrincipalChanges(
        kind=declaration.kind if declaration.kind != record.kind else None,
        enabled=declaration.enabled if declaration.enabled != record.enabled else None,
        roles=tuple(each for each in declaration.roles if each not in record.roles),
        no_roles=tuple(sorted(absent_roles)),
        subjects=tuple(each for each in declaration.subjects if each not in record.subjects),
        no_subjects=tuple(absent_subjects),
        limits=PolicyEdit.replacing(declaration.limits) if has_limits and declaration.limits else PolicyEdit(),
    )


def _keeps_subjects(step: Step) -> bool:
    return not (isinstance(step, PrincipalStep) and bool(step.changes.no_subjects))

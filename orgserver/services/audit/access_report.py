"""Who may do what where, since when, through which grant, and when it was last made use of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import LOCAL, PERMISSIONS, Grant
from orgserver.model.errors import OperatorError
from orgserver.model.names import nearest
from orgserver.model.orgs import Org
from orgserver.services.audit.last_uses import LastUses, read_last_uses
from orgserver.services.audit.selections import Selections
from orgserver.store.people import records
from orgserver.store.people.records import GroupRecord, PrincipalRecord
from orgserver.store.session import Store

_NO_LIMITS = Policy()


@dataclass(frozen=True, slots=True)
class Access:
    """What one principal may do through one grant; of the local user and of those without any, there is no grant."""

    principal: str
    kind: str
    """``person``, ``service``, or ``local`` for the user of this machine."""
    roles: tuple[str, ...]
    own_limits: tuple[str, ...]
    """What limits the principal everywhere."""
    group: str | None
    """Whose grant it is, where it is not the principal's own."""
    grant: Grant | None
    org: str | None
    """The one org that it is about; None: every org that is selected."""
    orgs: int
    """How many that are."""
    limits: tuple[str, ...]
    """What limits the principal in the org, its own limits among it."""
    limited_orgs: int
    """How many of the orgs have a policy that limits everybody."""
    last_use: datetime | None
    without_effect: str | None = None
    """Why it allows nothing: ``disabled``, ``ended``, ``no grant``, ``selects no org``, ``org disabled``."""

    @property
    def permissions(self) -> tuple[str, ...]:
        """What is allowed."""
        if self.grant is None:
            return PERMISSIONS if self.kind == "local" else ()
        return tuple(each for each in PERMISSIONS if each in self.grant.permissions)

    @property
    def selector(self) -> str | None:
        """Which orgs, in the words of the grant."""
        if self.grant is None:
            return "*" if self.kind == "local" else None
        return self.grant.selector.text

    def is_unused(self, since: datetime) -> bool:
        """Whether nothing was done with it since then, though it was there."""
        there = self.grant is None or self.grant.created_at < since
        return there and (self.last_use is None or self.last_use < since)

    def as_json(self, now: datetime) -> dict[str, Any]:
        """The line as it is printed for machines."""
        grant = self.grant
        return {
            "principal": self.principal,
            "kind": self.kind,
            "roles": list(self.roles),
            "through": "local user" if self.kind == "local" else f"group {self.group}" if self.group else "own grant",
            "group": self.group,
            "grant": grant.id if grant else None,
            "selector": self.selector,
            "org": self.org,
            "orgs": self.orgs,
            "permissions": list(self.permissions),
            "since": _iso(grant.created_at if grant else None),
            "until": _iso(grant.until if grant else None),
            "granted_by": grant.by if grant else None,
            "limits": list(self.limits),
            "limited_orgs": self.limited_orgs,
            "last_use": _iso(self.last_use),
            "unused_days": (now - self.last_use).days if self.last_use else None,
            "without_effect": self.without_effect,
        }


@dataclass(frozen=True, slots=True)
class AccessReport:
    """Every line of what principals may do, and what they might but for something."""

    store_id: str
    time: datetime
    org: str | None
    """The one org that it is about."""
    principal: str | None
    unused_days: int | None
    """Only what was not used for so long."""
    orgs: int
    principals: int
    access: list[Access]
    without_effect: list[Access]

    def facts(self) -> dict[str, Any]:
        """What it is about, for machines."""
        return {
            "store_id": self.store_id,
            "time": _iso(self.time),
            "org": self.org,
            "principal": self.principal,
            "unused_days": self.unused_days,
            "orgs": self.orgs,
            "principals": self.principals,
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What a report is asked for."""

    org: str | None = None
    principal: str | None = None
    unused_days: int | None = None


async def report_access(store: Store, question: Question, local: str, now: datetime) -> AccessReport:
    """Read it all. OperatorError for an org or a principal that is not there; ``local`` is the user of this machine."""
    await store.audit.catch_up()
    async with store.database.reading() as connection:
        by_alias = (await store.orgs.catalog(connection)).by_alias
        principals = await records.principals(connection)
        groups = await records.groups(connection)
    orgs = _choose_org(question.org, by_alias)
    principals = _choose_principal(question.principal, principals, groups)
    uses = await store.database.scan(lambda connection: read_last_uses(connection, orgs, principal=question.principal))
    lines = [*_local_lines(question, local, orgs, uses), *_Lines(orgs, groups, uses, now, question).all(principals)]
    if question.unused_days is not None:
        since = now - timedelta(question.unused_days)
        lines = [line for line in lines if line.is_unused(since)]
    return AccessReport(
        store_id=store.id,
        time=now,
        org=question.org,
        principal=question.principal,
        unused_days=question.unused_days,
        orgs=len(orgs),
        principals=len(principals),
        access=[line for line in lines if line.without_effect is None],
        without_effect=[line for line in lines if line.without_effect is not None],
    )


def _choose_org(alias: str | None, by_alias: Mapping[str, Org]) -> list[Org]:
    if alias is None:
        return list(by_alias.values())
    org = by_alias.get(alias.lower())
    if org is None:
        near = nearest(alias.lower(), by_alias)
        meant = f"did you mean {near}? " if near else ""
        raise OperatorError(f"no org is registered as {alias}", hint=f"{meant}orgserver list-orgs shows those that are")
    return [org]


def _choose_principal(
    name: str | None, principals: list[PrincipalRecord], groups: list[GroupRecord]
) -> list[PrincipalRecord]:
    if name is None:
        return principals
    if name.startswith(LOCAL):
        return []
    chosen = [each for each in principals if each.name.lower() == name.lower()]
    if not chosen:
        if any(group.name.lower() == name.lower() for group in groups):
            raise OperatorError(f"{name} is a group, not a principal", hint="each member's lines name the group")
        near = nearest(name, [each.name for each in principals])
        meant = f"did you mean {near}? " if near else ""
        raise OperatorError(
            f"there is no principal {name}", hint=f"{meant}orgserver list-principals shows those that are"
        )
    return chosen


def _local_lines(question: Question, local: str, orgs: list[Org], uses: LastUses) -> Iterator[Access]:
    """Those who use orgserver on its own machine: they hold everything, without a grant."""
    known = {name: max(by_org.values()) for name, by_org in uses.items() if name.startswith(LOCAL) and by_org}
    names = {local.lower(): local} | {name: name for name in known if name != local.lower()}
    for lower, name in sorted(names.items()):
        if question.principal is not None and lower != question.principal.lower():
            continue
        one = orgs[0] if question.org is not None else None
        yield Access(
            principal=name,
            kind="local",
            roles=(),
            own_limits=(),
            group=None,
            grant=None,
            org=one.alias if one else None,
            orgs=len(orgs),
            limits=one.policy.limits if one else (),
            limited_orgs=sum(org.policy != _NO_LIMITS for org in orgs),
            last_use=known.get(lower),
        )


class _Lines:
    """The lines of principals, over the orgs that a report is about."""

    def __init__(
        self, orgs: list[Org], groups: Iterable[GroupRecord], uses: LastUses, now: datetime, question: Question
    ) -> None:
        self._selections = Selections(orgs)
        self._uses = uses
        self._now = now
        self._one_org = orgs[0] if question.org is not None else None
        self._groups_of: dict[str, list[GroupRecord]] = {}
        for group in groups:
            for member in group.every_member:
                self._groups_of.setdefault(member, []).append(group)

    def all(self, principals: Iterable[PrincipalRecord]) -> Iterator[Access]:
        """Every principal's, its own grants first."""
        for principal in principals:
            lines = [self._line(principal, None, grant) for grant in principal.grants]
            for group in self._groups_of.get(principal.name, ()):
                lines += [self._line(principal, group.name, grant) for grant in group.grants]
            if self._one_org is not None:
                yield from (line for line in lines if line.orgs)
            elif lines:
                yield from lines
            else:
                yield self._without_grant(principal)

    def _line(self, principal: PrincipalRecord, group: str | None, grant: Grant) -> Access:
        selection = self._selections.of(grant)
        one = self._one_org or (selection.orgs[0] if grant.row_id is not None and selection.orgs else None)
        limits = one.policy.limited_by(principal.limits) if one is not None else principal.limits
        uses = self._uses.get(principal.name.lower(), {})
        last = max((time for row_id, time in uses.items() if row_id in selection.row_ids), default=None)
        return replace(
            self._without_grant(principal),
            group=group,
            grant=grant,
            org=one.alias if one is not None and selection.orgs else None,
            orgs=len(selection.orgs),
            limits=limits.limits,
            limited_orgs=selection.limited,
            last_use=last if last is not None and last >= principal.created_at else None,
            without_effect=self._why_without_effect(principal, grant, selection.orgs, one),
        )

    def _why_without_effect(
        self, principal: PrincipalRecord, grant: Grant, orgs: Sequence[Org], one: Org | None
    ) -> str | None:
        if not principal.enabled:
            return "disabled"
        if grant.is_over(self._now):
            return "ended"
        if not orgs:
            return "selects no org"
        return None if one is None or one.enabled else "org disabled"

    def _without_grant(self, principal: PrincipalRecord) -> Access:
        return Access(
            principal=principal.name,
            kind=principal.kind,
            roles=tuple(sorted(principal.roles)),
            own_limits=principal.limits.limits,
            group=None,
            grant=None,
            org=None,
            orgs=0,
            limits=principal.limits.limits,
            limited_orgs=0,
            last_use=None,
            without_effect="no grant" if principal.enabled else "disabled",
        )


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds").replace("+00:00", "Z")

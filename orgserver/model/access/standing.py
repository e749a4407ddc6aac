"""What one principal may do where: its grants and those of its groups, and its own limits, as of one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Protocol, TypeVar

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Grant, Permission, PrincipalKind, Role
from orgserver.model.names import Alias, RowId

_NOTHING: frozenset[Permission] = frozenset()
_NO_LIMITS = Policy()
_MOST_ORGS = 1_024
"""Of so many orgs at once it is remembered which grants select them."""


class SelectableOrg(Protocol):
    """As much of an org as selectors and limits ask for."""

    @property
    def row_id(self) -> RowId:
        """The key that it keeps through every rename."""

    @property
    def alias(self) -> Alias:
        """Its name here and now."""

    @property
    def tags(self) -> tuple[str, ...]:
        """What ``tag:NAME`` selects it by."""

    @property
    def policy(self) -> Policy:
        """What limits everybody in it."""


AnyOrg = TypeVar("AnyOrg", bound=SelectableOrg)


@dataclass(slots=True)
class _Reach:
    """The grants that select one org, whether or not their time has ended."""

    org: SelectableOrg
    grants: tuple[Grant, ...]
    lasting: frozenset[Permission]
    """By grants without an end."""
    ending: tuple[Grant, ...]
    policy: Policy | None = None


@dataclass(frozen=True)
class Standing:
    """A principal as the store has it: with a disabled one, or without a grant, there is no org."""

    name: str
    kind: PrincipalKind
    enabled: bool = True
    roles: frozenset[Role] = frozenset()
    limits: Policy = _NO_LIMITS
    """Its own, which bind it in every org beside the org's."""
    grants: tuple[Grant, ...] = ()
    """Its own, and those of its groups."""
    _reaches: dict[RowId, _Reach] = field(default_factory=dict, init=False, repr=False, compare=False)

    def permissions_in(self, org: SelectableOrg, now: datetime) -> frozenset[Permission]:
        """What its grants allow in an org: they add up."""
        if not self.enabled:
            return _NOTHING
        reach = self._reach(org)
        if not reach.ending:
            return reach.lasting
        return reach.lasting.union(*(grant.permissions for grant in reach.ending if not grant.is_over(now)))

    def grants_in(self, org: SelectableOrg, now: datetime) -> tuple[Grant, ...]:
        """Its grants that count in an org now."""
        if not self.enabled:
            return ()
        return tuple(grant for grant in self._reach(org).grants if not grant.is_over(now))

    def find_grant(self, org: SelectableOrg, permission: Permission | None, now: datetime) -> Grant | None:
        """The first grant that allows something in an org, or anything at all."""
        if self.enabled:
            for grant in self._reach(org).grants:
                if (permission is None or permission in grant.permissions) and not grant.is_over(now):
                    return grant
        return None

    def select_orgs(self, orgs: Iterable[AnyOrg], now: datetime) -> list[AnyOrg]:
        """Those of many orgs in which it may do anything, remembered of none."""
        index = self._index if self.enabled else _Index(())

        def counts(grants: Iterable[Grant]) -> bool:
            return any(grant.permissions and not grant.is_over(now) for grant in grants)

        if counts(index.everywhere):
            return list(orgs)
        rows = {row_id for row_id, grants in index.by_row.items() if counts(grants)}
        tags = {tag for tag, grants in index.by_tag.items() if counts(grants)}
        globs = [matches for matches, grant in index.globs if counts((grant,))]
        return [
            org
            for org in orgs
            if org.row_id in rows
            or not tags.isdisjoint(org.tags)
            or (globs and any(matches(org.alias) for matches in globs))
        ]

    def policy_in(self, org: SelectableOrg) -> Policy:
        """What limits it in an org: the org's policy, and its own limits."""
        reach = self._reach(org)
        if reach.policy is None:
            reach.policy = org.policy.limited_by(self.limits)
        return reach.policy

    def _reach(self, org: SelectableOrg) -> _Reach:
        """The grants that select an org, remembered as long as nothing of the org has changed.

        Of an org that none selects, nothing is remembered: it must not be told from one that does not exist.
        """
        reach = self._reaches.get(org.row_id)
        if reach is not None and reach.org is org:
            return reach
        grants = tuple(self._select(org))
        lasting = _NOTHING.union(*(grant.permissions for grant in grants if grant.until is None))
        reach = _Reach(org, grants, lasting, tuple(grant for grant in grants if grant.until is not None))
        if grants:
            if len(self._reaches) >= _MOST_ORGS:
                self._reaches.clear()
            self._reaches[org.row_id] = reach
        return reach

    def _select(self, org: SelectableOrg) -> Iterator[Grant]:
        index = self._index
        yield from index.by_row.get(org.row_id, ())
        yield from index.everywhere
        for tag in dict.fromkeys(org.tags):
            yield from index.by_tag.get(tag, ())
        yield from (grant for matches, grant in index.globs if matches(org.alias))

    @cached_property
    def _index(self) -> _Index:
        return _Index(self.grants)


class _Index:
    """Grants by what they select. An alias without the org that it meant when it was granted selects nothing."""

    def __init__(self, grants: tuple[Grant, ...]) -> None:
        self.by_row: dict[RowId, list[Grant]] = {}
        self.by_tag: dict[str, list[Grant]] = {}
        self.everywhere: list[Grant] = []
        self.globs: list[tuple[Callable[[str], object], Grant]] = []
        for grant in grants:
            self._add(grant)

    def _add(self, grant: Grant) -> None:
        selector = grant.selector
        if selector.kind == "all":
            self.everywhere.append(grant)
        elif selector.kind == "tag":
            self.by_tag.setdefault(selector.tag, []).append(grant)
        elif selector.kind == "glob":
            self.globs.append((selector.pattern.match, grant))
        elif grant.row_id is not None:
            self.by_row.setdefault(grant.row_id, []).append(grant)

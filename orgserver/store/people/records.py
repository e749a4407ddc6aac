"""Principals and groups with all that is kept of them, for those who look after them; no secret is in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import Row, Select, Table, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import ApiKey, Grant, PrincipalKind, Role, Subject
from orgserver.store import tables as org_tables
from orgserver.store.people import rows, tables
from orgserver.store.transaction import Transaction, to_datetime

T = TypeVar("T")
_Rows = Sequence[Row[Any]]


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """A principal as it was registered."""

    name: str
    kind: PrincipalKind
    enabled: bool
    roles: frozenset[Role]
    limits: Policy
    created_at: datetime
    groups: tuple[str, ...] = ()
    """Those that it is in by hand."""
    claim_groups: tuple[str, ...] = ()
    """Those that it is in because its identity provider says so."""
    subjects: tuple[Subject, ...] = ()
    grants: tuple[Grant, ...] = ()
    """Its own; the selector of one on an alias is the org's present alias."""
    keys: tuple[ApiKey, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group as it was made."""

    name: str
    claim: str | None
    created_at: datetime
    members: tuple[str, ...] = ()
    """Those by hand."""
    claim_members: tuple[str, ...] = ()
    """Those whose identity provider says so."""
    grants: tuple[Grant, ...] = ()

    @property
    def every_member(self) -> tuple[str, ...]:
        """Whoever has its grants."""
        return self.members + self.claim_members


async def principals(connection: AsyncConnection) -> list[PrincipalRecord]:
    """Every principal, by name."""
    return _principals(*[(await connection.execute(query)).all() for query in _principal_queries(of_one=False)])


async def find_principal(connection: AsyncConnection, name: str) -> PrincipalRecord | None:
    """One principal; None if there is none of this name."""
    values = {"holder": name}
    rows_of_name = [(await connection.execute(query, values)).all() for query in _principal_queries(of_one=True)]
    return next(iter(_principals(*rows_of_name)), None)


async def groups(connection: AsyncConnection) -> list[GroupRecord]:
    """Every group, by name."""
    return _groups(*[(await connection.execute(query)).all() for query in _group_queries(of_one=False)])


def principal_in(tx: Transaction, name: str) -> PrincipalRecord | None:
    """One principal; None if there is none of this name."""
    values = {"holder": name}
    rows_of_name = [tx.connection.execute(query, values).all() for query in _principal_queries(of_one=True)]
    return next(iter(_principals(*rows_of_name)), None)


def group_in(tx: Transaction, name: str) -> GroupRecord | None:
    """One group; None if there is none of this name."""
    values = {"holder": name}
    rows_of_name = [tx.connection.execute(query, values).all() for query in _group_queries(of_one=True)]
    return next(iter(_groups(*rows_of_name)), None)


@cache  # making them is the dearer part, and thousands of holders may be changed one after another
def _principal_queries(*, of_one: bool) -> tuple[Select[Any], ...]:
    return (
        _of(tables.principals, "name", of_one=of_one),
        _of(tables.group_members, "principal", of_one=of_one),
        _of(tables.claim_members, "principal", of_one=of_one),
        _grants("principal", of_one=of_one),
        _of(tables.api_keys, "principal", of_one=of_one),
        _of(tables.subjects, "principal", of_one=of_one),
    )


@cache
def _group_queries(*, of_one: bool) -> tuple[Select[Any], ...]:
    return (
        _of(tables.groups, "name", of_one=of_one),
        _of(tables.group_members, "group", of_one=of_one),
        _of(tables.claim_members, "group", of_one=of_one),
        _grants("group", of_one=of_one),
    )


def _of(table: Table, column: str, *, of_one: bool) -> Select[Any]:
    query = select(table).order_by(*table.primary_key)
    return query.where(table.c[column] == bindparam("holder")) if of_one else query


def _grants(holder: str, *, of_one: bool) -> Select[Any]:
    """Grants of principals or groups, those on an alias with the one that the org has now."""
    orgs, grants = org_tables.orgs, tables.grants
    selector = func.coalesce(orgs.c.alias, grants.c.selector).label("selector")
    others = [column for column in grants.c if column is not grants.c.selector]
    query = select(*others, selector).select_from(grants.outerjoin(orgs, orgs.c.row_id == grants.c.row_id))
    query = query.where(grants.c[holder].is_not(None)).order_by(selector, grants.c.id)
    return query.where(grants.c[holder] == bindparam("holder")) if of_one else query


def _principals(
    own: _Rows, memberships: _Rows, by_claim: _Rows, grants: _Rows, keys: _Rows, subjects: _Rows
) -> list[PrincipalRecord]:
    groups_of = _gather(memberships, "principal", lambda row: str(row.group))
    claim_groups_of = _gather(by_claim, "principal", lambda row: str(row.group))
    grants_of = _gather(grants, "principal", rows.read_grant)
    keys_of = _gather(keys, "principal", rows.read_key)
    subjects_of = _gather(subjects, "principal", lambda row: Subject(row.issuer, row.subject))
    return [
        PrincipalRecord(
            name=row.name,
            kind=row.kind,
            enabled=row.enabled,
            roles=rows.read_roles(row.roles),
            limits=rows.read_limits(row.limits),
            created_at=to_datetime(row.created_at),
            groups=tuple(groups_of[row.name]),
            claim_groups=tuple(claim_groups_of[row.name]),
            subjects=tuple(subjects_of[row.name]),
            grants=tuple(grants_of[row.name]),
            keys=tuple(keys_of[row.name]),
        )
        for row in own
    ]


def _groups(own: _Rows, memberships: _Rows, by_claim: _Rows, grants: _Rows) -> list[GroupRecord]:
    members_of = _gather(memberships, "group", lambda row: str(row.principal))
    claim_members_of = _gather(by_claim, "group", lambda row: str(row.principal))
    grants_of = _gather(grants, "group", rows.read_grant)
    return [
        GroupRecord(
            name=row.name,
            claim=row.claim,
            created_at=to_datetime(row.created_at),
            members=tuple(members_of[row.name]),
            claim_members=tuple(claim_members_of[row.name]),
            grants=tuple(grants_of[row.name]),
        )
        for row in own
    ]


def _gather(every: _Rows, holder: str, read: Callable[[Row[Any]], T]) -> defaultdict[str, list[T]]:
    """What rows say, by whose they are."""
    gathered: defaultdict[str, list[T]] = defaultdict(list)
    for row in every:
        gathered[row._mapping[holder]].append(read(row))  # noqa: SLF001  # SQLAlchemy's public name for it
    return gathered

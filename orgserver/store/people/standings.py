"""What every principal may do, read whole: its own grants and those of its groups, by hand or by claim."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row, Select, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.principals import Grant
from orgserver.model.access.standing import Standing
from orgserver.store.people import rows, tables
from orgserver.store.transaction import Transaction

_MEMBERS = union_all(select(tables.group_members), select(tables.claim_members))


async def read_standings(connection: AsyncConnection) -> Mapping[str, Standing]:
    """Every principal's standing, by name."""
    principals = (await connection.execute(select(tables.principals))).all()
    if not principals:
        return {}
    members = (await connection.execute(_MEMBERS)).all()
    grants = (await connection.execute(select(tables.grants).order_by(tables.grants.c.id))).all()
    return _join(principals, members, grants)


async def read_standing(connection: AsyncConnection, name: str) -> Standing | None:
    """One principal's standing."""
    principals = (await connection.execute(_principal_of(name))).all()
    members = (await connection.execute(_members_of(name))).all()
    grants = (await connection.execute(_grants_of(name, members))).all()
    return _join(principals, members, grants).get(name)


def standing_in(tx: Transaction, name: str) -> Standing | None:
    """The same, in a change."""
    principals = tx.connection.execute(_principal_of(name)).all()
    members = tx.connection.execute(_members_of(name)).all()
    grants = tx.connection.execute(_grants_of(name, members)).all()
    return _join(principals, members, grants).get(name)


def _principal_of(name: str) -> Select[Any]:
    return select(tables.principals).where(tables.principals.c.name == name)


def _members_of(name: str) -> Select[Any]:
    every = _MEMBERS.subquery()
    return select(every).where(every.c.principal == name)


def _grants_of(name: str, members: Iterable[Row[Any]]) -> Select[Any]:
    of = tables.grants.c
    held = or_(of.principal == name, of.group.in_([row.group for row in members]))
    return select(tables.grants).where(held).order_by(of.id)


def _join(
    principals: Iterable[Row[Any]], members: Iterable[Row[Any]], grants: Iterable[Row[Any]]
) -> Mapping[str, Standing]:
    own: dict[str, list[Grant]] = defaultdict(list)
    of_group: dict[str, list[Grant]] = defaultdict(list)
    for row in grants:
        holders = own if row.principal is not None else of_group
        grant = rows.read_grant(row)
        holders[grant.holder].append(grant)
    groups: dict[str, list[str]] = defaultdict(list)
    for row in members:
        groups[row.principal].append(row.group)
    return {
        row.name: Standing(
            name=row.name,
            kind=row.kind,
            enabled=row.enabled,
            roles=rows.read_roles(row.roles),
            limits=rows.read_limits(row.limits),
            grants=(*own[row.name], *(grant for group in sorted(groups[row.name]) for grant in of_group[group])),
        )
        for row in principals
    }

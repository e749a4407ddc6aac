"""Every org and what each principal may do there, read whole, or as far as it has changed since it was read last."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.logins import LoginKey
from orgserver.model.access.standing import Standing
from orgserver.model.names import OrgId, RowId
from orgserver.model.orgs import Connection, Org, OrgState
from orgserver.store import tables
from orgserver.store.catalog_version import CatalogChange, read_changes
from orgserver.store.orgs import rows
from orgserver.store.people import connection_tables
from orgserver.store.people.standings import read_standing, read_standings

_connections = connection_tables.connections
_AT_ONCE = 250
"""So many orgs are made of their rows before the event loop does something else."""
_MOST = 500
"""Where more has changed, everything is read."""


@dataclass(frozen=True, slots=True)
class OrgSnapshot:
    """Every registered org, and what each principal may do, as of one version of the store."""

    version: int
    by_alias: Mapping[str, Org]
    standings: Mapping[str, Standing] = field(default_factory=dict)
    """What each principal may do, by its name."""
    by_row: Mapping[RowId, Org] = field(default_factory=dict)
    connections: Mapping[tuple[RowId, str], Connection] = field(default_factory=dict)
    """People's own logins, by org and principal; also those that have ended."""
    twins: Mapping[RowId, AbstractSet[RowId]] = field(default_factory=dict)
    """The other aliases of an org that has several."""

    def find_login(self, login: LoginKey) -> Org | None:
        """An org as whoever uses this login meets it; None where one of both is gone."""
        org = self.by_row.get(login.row_id)
        if org is None or login.principal is None:
            return org
        connection = self._find_connection(login)
        return org.with_connection(connection) if connection is not None else None

    def find_state(self, login: LoginKey) -> OrgState | None:
        """The state of a login; None where it or its org is gone."""
        org = self.by_row.get(login.row_id)
        found = org if org is None or login.principal is None else self._find_connection(login)
        return found.state if found is not None else None

    def _find_connection(self, login: LoginKey) -> Connection | None:
        connection = self.connections.get((login.row_id, login.principal)) if login.principal is not None else None
        return connection if connection is not None and connection.id == login.id else None


async def read_catalog(connection: AsyncConnection, before: OrgSnapshot | None = None) -> OrgSnapshot:
    """Read in one snapshot of the store what is not in the one ``before``."""
    version, changes = await read_changes(connection, before.version if before else None)
    if before is None or changes is None or len(changes) > _MOST:
        orgs = await _read_orgs(connection)
        every: dict[str, Org] = {org.alias: org for org in orgs}
        by_row = {org.row_id: org for org in orgs}
        standings = await read_standings(connection)
        connections = await _read_connections(connection)
        return OrgSnapshot(version, every, standings, by_row, connections, _find_twins(by_row))
    names = _names(changes, "org")
    by_alias, followed = await _follow_orgs(connection, before, names)
    standings = await _follow_people(connection, before, changes)
    gone = frozenset(names) - followed.keys()
    connections = await _follow_connections(connection, before, _names(changes, "connection"), gone)
    twins = _find_twins(followed) if followed is not before.by_row else before.twins
    return OrgSnapshot(version, by_alias, standings, followed, connections, twins)


def _find_twins(by_row: Mapping[RowId, Org]) -> Mapping[RowId, AbstractSet[RowId]]:
    first: dict[OrgId, RowId] = {}
    same: dict[OrgId, set[RowId]] = {}
    for row_id, org in by_row.items():
        if org.org_id is not None and (other := first.setdefault(org.org_id, row_id)) is not row_id:
            same.setdefault(org.org_id, {other}).add(row_id)
    return {row_id: group - {row_id} for group in same.values() for row_id in group}


def _names(changes: Iterable[CatalogChange], kind: str) -> list[str]:
    return sorted(change.name for change in changes if change.kind == kind)


async def _read_orgs(connection: AsyncConnection, of: list[str] | None = None) -> list[Org]:
    query = rows.EVERY if of is None else rows.EVERY.where(tables.orgs.c.row_id.in_(of))
    org_rows = (await connection.execute(query.order_by(tables.orgs.c.alias))).all()
    parse: Callable[[str], Any] = cache(json.loads)  # the same few texts stand in most rows
    orgs: list[Org] = []
    for first in range(0, len(org_rows), _AT_ONCE):
        orgs += [rows.read_org(row, parse) for row in org_rows[first : first + _AT_ONCE]]
        await asyncio.sleep(0)
    return orgs


async def _follow_orgs(
    connection: AsyncConnection, before: OrgSnapshot, changed: list[str]
) -> tuple[Mapping[str, Org], Mapping[RowId, Org]]:
    """The orgs, with those read again that have changed, and without those that are gone; by alias."""
    if not changed:
        return before.by_alias, before.by_row
    by_alias, by_row = dict(before.by_alias), dict(before.by_row)
    orgs = await _read_orgs(connection, changed)
    aliases = {org.alias for org in orgs}
    for row_id in map(RowId, changed):
        old = by_row.pop(row_id, None)
        if old is not None and old.alias not in aliases:
            del by_alias[old.alias]
    is_sorted = all(org.alias in by_alias for org in orgs)
    by_alias |= {org.alias: org for org in orgs}
    by_row |= {org.row_id: org for org in orgs}
    return by_alias if is_sorted else {alias: by_alias[alias] for alias in sorted(by_alias)}, by_row


async def _read_connections(
    connection: AsyncConnection, of: list[str] | None = None
) -> Mapping[tuple[RowId, str], Connection]:
    query = select(_connections) if of is None else select(_connections).where(_connections.c.id.in_(of))
    connection_rows = (await connection.execute(query)).all()
    connections: dict[tuple[RowId, str], Connection] = {}
    for first in range(0, len(connection_rows), _AT_ONCE):
        for each in map(rows.read_connection, connection_rows[first : first + _AT_ONCE]):
            connections[each.row_id, each.principal] = each
        await asyncio.sleep(0)
    return connections


async def _follow_connections(
    connection: AsyncConnection, before: OrgSnapshot, changed: list[str], gone: AbstractSet[str]
) -> Mapping[tuple[RowId, str], Connection]:
    """The connections, with those read again that have changed, and without those that are gone, or their org is."""
    if not changed and not gone:
        return before.connections
    ids = frozenset(changed)
    others = {key: each for key, each in before.connections.items() if each.id not in ids and key[0] not in gone}
    return {**others, **(await _read_connections(connection, changed))} if changed else others


async def _follow_people(
    connection: AsyncConnection, before: OrgSnapshot, changes: frozenset[CatalogChange]
) -> Mapping[str, Standing]:
    """The standings, with those read again that have changed."""
    if _names(changes, "people"):
        return await read_standings(connection)
    names = _names(changes, "principal")
    standings = dict(before.standings) if names else before.standings
    for name in names:
        standing = await read_standing(connection, name)
        assert isinstance(standings, dict)  # noqa: S101  # a copy
        standings.pop(name, None)
        if standing is not None:
            standings[name] = standing
    return standings

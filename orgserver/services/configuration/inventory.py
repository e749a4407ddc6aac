"""What the store has of all that files can say, as of one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.names import Alias, OrgId, RowId
from orgserver.model.orgs import Org
from orgserver.store.orgs.logins import Login, logins
from orgserver.store.people import records
from orgserver.store.people.records import GroupRecord, PrincipalRecord
from orgserver.store.session import Store


@dataclass(frozen=True, slots=True)
class Inventory:
    """Orgs, groups and principals, under one version of the store."""

    version: int
    orgs: Mapping[Alias, Org]
    logins: Mapping[RowId, Login]
    usernames: Mapping[OrgId, Mapping[str, str]]
    """Of principals, in the orgs that have a map of them."""
    groups: Mapping[str, GroupRecord]
    principals: Mapping[str, PrincipalRecord]


async def read_inventory(store: Store) -> Inventory:
    """Read all of it in one snapshot; no secret is opened."""
    async with store.database.reading() as connection:
        catalog = await store.orgs.catalog(connection)
        return Inventory(
            catalog.version,
            {org.alias: org for org in catalog.by_alias.values()},
            await logins(connection),
            await _read_usernames(store, connection, catalog.by_alias.values()),
            {group.name: group for group in await records.groups(connection)},
            {principal.name: principal for principal in await records.principals(connection)},
        )


async def _read_usernames(
    store: Store, connection: AsyncConnection, orgs: Iterable[Org]
) -> dict[OrgId, Mapping[str, str]]:
    mapped = {org.org_id for org in orgs if org.username_from is not None and org.username_from.kind == "map"}
    return {
        org_id: await store.orgs.connections.read_map(connection, org_id) for org_id in mapped if org_id is not None
    }

"""What the store has of all that files can say, as of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orgserver.model.names import Alias, RowId
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
            {group.name: group for group in await records.groups(connection)},
            {principal.name: principal for principal in await records.principals(connection)},
        )

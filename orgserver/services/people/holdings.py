"""What one person reaches and holds: orgs with what they may do there, grants, and API keys."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.model.access.principals import PERMISSIONS, ApiKey, Grant, Permission, Role
from orgserver.model.errors import PeopleError
from orgserver.model.orgs import Caller, Org
from orgserver.services.calls.access import Access
from orgserver.services.people.principals import Principals
from orgserver.services.people.requests import KeyChanges, PrincipalChanges
from orgserver.store.people import records
from orgserver.store.session import Store


@dataclass(frozen=True, slots=True)
class ReachableOrg:
    """An org in which somebody may do something."""

    alias: str
    name: str
    """As Salesforce calls it."""
    kind: str | None
    permissions: tuple[Permission, ...]


@dataclass(frozen=True, slots=True)
class OwnAccess:
    """What is somebody's, as of now."""

    orgs: tuple[ReachableOrg, ...]
    """The first of them, by alias."""
    org_count: int
    """Of all."""
    grants: tuple[Grant, ...]
    """Those that count, and those of the groups that they are in."""
    keys: tuple[ApiKey, ...]
    """Those that open anything."""
    roles: frozenset[Role]


class Holdings:
    """Reads it, and ends keys."""

    def __init__(self, store: Store, access: Access, principals: Principals) -> None:
        self._store = store
        self._access = access
        self._principals = principals

    async def read(self, caller: Caller, most_orgs: int) -> OwnAccess:
        """What a caller reaches and holds; of orgs, so many at most."""
        orgs, org_count = await find_orgs(self._access, caller, most_orgs)
        async with self._store.database.reading() as connection:
            record = await records.find_principal(connection, caller.principal.name)
        now, standing = self._access.now(), self._access.standing(caller)
        grants = sorted(standing.grants, key=lambda each: each.selector.text) if standing is not None else ()
        return OwnAccess(
            orgs,
            org_count,
            tuple(each for each in grants if not each.is_over(now)),
            tuple(each for each in record.keys if not each.is_over(now)) if record is not None else (),
            record.roles if record is not None else frozenset(),
        )

    async def end_key(self, caller: Caller, key_id: str) -> bool:
        """End a key of the caller's own, on record; False where there is none of this id that opens anything."""
        own = (await self.read(caller, 0)).keys
        if all(each.id != key_id for each in own):
            return False
        changes = PrincipalChanges(keys=KeyChanges(revoked=(key_id,)))
        try:
            await self._principals.update(caller, caller.principal.name, changes)
        except PeopleError:  # it was ended meanwhile
            return False
        return True


async def find_orgs(access: Access, caller: Caller, most: int) -> tuple[tuple[ReachableOrg, ...], int]:
    """The first orgs that a caller may use, by alias, and how many there are."""
    orgs = await access.visible(caller)
    return tuple(_show(access, caller, each) for each in orgs[:most]), len(orgs)


def _show(access: Access, caller: Caller, org: Org) -> ReachableOrg:
    permissions = access.permissions(caller, org)
    if access.policy(caller, org).read_only or access.scope.read_only:
        permissions &= {"read"}
    return ReachableOrg(org.alias, org.name, org.kind, tuple(each for each in PERMISSIONS if each in permissions))

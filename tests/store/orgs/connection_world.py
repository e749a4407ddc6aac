"""A store with two orgs and three people's own logins to them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from orgserver.model.access.logins import LoginKey
from orgserver.model.names import OrgId, RowId, new_id
from orgserver.model.orgs import AccessToken, Connection, Credential, Org, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.refreshes import Refreshes
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from tests.bench.stores import made_up

NOW = datetime.now(UTC)


def login_of(org: Org, principal: str, number: int) -> Connection:
    return Connection(
        id=RowId(new_id()), row_id=org.row_id, principal=principal, kind="web",
        user=OrgUser(f"005{number:012d}AAA", f"{principal}@x.test", "UTC"), username=f"{principal}@x.test",
        state=OrgState.READY, cause=None, problem=None, created_at=NOW, refreshed_at=None,
    )  # fmt: skip


@dataclass
class World:
    """Two orgs; ada has a login to both, bob to the first."""

    store: Store
    orgs: list[Org]
    ada: Connection
    bob: Connection
    ada_elsewhere: Connection

    async def write(self, change: Callable[[Transaction], Any]) -> Any:
        return await self.store.database.write(change)

    async def credential(self, login: LoginKey) -> Credential | None:
        async with self.store.database.reading() as connection:
            return await self.store.orgs.credentials.credential(connection, login)

    async def access_token(self, login: LoginKey) -> AccessToken | None:
        async with self.store.database.reading() as connection:
            return await self.store.orgs.credentials.access_token(connection, login)

    async def snapshot(self, before: OrgSnapshot | None = None) -> OrgSnapshot:
        async with self.store.database.reading() as connection:
            return await self.store.orgs.catalog(connection, before)

    async def begin(self, login: LoginKey) -> Any:
        steps = Refreshes(self.store.orgs, self.store.process_lock, 5.0)
        holder = self.store.process_lock.holder()
        wanted: dict[str, Any] = {"life_us": 60_000_000, "not_this": 4, "prove": False, "force": False}
        return await self.write(lambda tx: steps.begin_in(tx, login, holder, **wanted))


async def make_world(store: Store) -> World:
    """Fill an empty store."""

    def fill(tx: Transaction) -> World:
        orgs = []
        for number in range(2):
            org, credential, access = made_up(number)
            org = replace(org, org_id=OrgId(f"00D{number:012d}AAA"))
            store.orgs.add_in(tx, org, credential, access)
            orgs.append(org)
        ada, bob = login_of(orgs[0], "ada", 1), login_of(orgs[0], "bob", 2)
        elsewhere = login_of(orgs[1], "ada", 3)
        for each in (ada, bob, elsewhere):
            credential = Credential("client", None, Secret(f"refresh-{each.id}"), fencing=4)
            access = AccessToken(Secret(f"access-{each.id}"), "https://x.my.salesforce.com", 4)
            store.orgs.connections.add_in(tx, each, credential, access)
        return World(store, orgs, ada, bob, elsewhere)

    world: World = await store.database.write(fill)
    return world

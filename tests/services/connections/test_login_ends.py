"""A person's own login ends with what let them use it, and Salesforce is told, also where that takes two tries."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from orgserver.app import App
from orgserver.model.orgs import Caller, Connection
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.connections.reachability import Reachability
from orgserver.services.doctor.connections import of_connections
from orgserver.services.orgs.identities import IdentityChange
from orgserver.services.people.requests import GroupChanges, PrincipalChanges
from orgserver.services.signin.people.identities import follow_groups_in
from orgserver.services.tokens import login_ends
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.people import connection_tables
from orgserver.store.people import tables as people_tables
from orgserver.telemetry.prometheus import PrometheusMetrics
from tests.own_logins import connect, set_identity
from tests.services.connections.ends import disable, ends_on_record, granting, left_of, living, waiting

pytestmark = pytest.mark.both_stores
Change = Callable[[App, Caller], Awaitable[object]]


async def remove(app: App, caller: Caller) -> None:
    await app.people.principals.remove(caller, "ada")


async def take_out_of_group(app: App, caller: Caller) -> None:
    await app.people.groups.update(caller, "ops", GroupChanges(no_members=("ada", "bob")))


async def take_grant_back(app: App, caller: Caller) -> None:
    await app.people.groups.update(caller, "ops", GroupChanges(grants=granting(revoked=("acme",))))


async def remove_group(app: App, caller: Caller) -> None:
    await app.people.groups.remove(caller, "ops")


async def run_out(app: App, caller: Caller) -> None:
    """As if an end that the grant had been given has come."""
    over = app.store.database.clock() - 1

    def change(tx: Any) -> None:
        grants = people_tables.grants
        tx.connection.execute(update(grants).where(grants.c.group == "ops").values(until=over))
        changed_in(tx, "people")

    await app.store.database.write(change)
    assert await Reachability(app.store, app.access).sweep() == 1


@pytest.mark.parametrize("change", [disable, remove, take_out_of_group, take_grant_back, remove_group, run_out])
async def test_a_login_ends_with_the_last_permission_and_others_stay(
    app: App, acme: SandboxOrg, caller: Caller, ada: Connection, change: Change
) -> None:
    family = acme.logins.families[-1]
    await change(app, caller)

    assert await living(app) == ["bob"]
    assert await left_of(app, ada) == []
    (entry,) = await ends_on_record(app)
    assert (entry.object, entry.org, entry.identity) == ("ada", "acme", "own")
    assert entry.salesforce_user is not None
    assert ada.user is not None
    assert entry.salesforce_user.id == ada.user.id
    assert family.alive
    assert await app.revoker.send_due() == 1
    assert not family.alive
    assert await waiting(app) == 0
    assert [each.alive for each in acme.logins.families if each is not family] == [True, True]


async def test_a_permission_that_is_left_keeps_the_login(app: App, caller: Caller, ada: Connection) -> None:
    principals = app.people.principals
    await principals.update(caller, "ada", PrincipalChanges(grants=granting("ac*:write")))
    await take_grant_back(app, caller)
    later = datetime.now(UTC) + timedelta(days=1)
    await principals.update(caller, "ada", PrincipalChanges(grants=granting("ac*:read", until=later)))

    assert await living(app) == ["ada", "bob"]
    assert await Reachability(app.store, app.access).sweep() == 0
    assert await app.revoker.send_due() == 0


async def test_a_claim_that_no_longer_names_the_group_takes_the_login_with_it(
    app: App, caller: Caller, ada: Connection
) -> None:
    await app.people.groups.add(caller, "crm", GroupChanges(claim="00G-crm", grants=granting("acme:read")))

    async def follow(*values: str) -> list[str]:
        await app.store.database.write(lambda tx: follow_groups_in(tx, app.store, "ada", values))
        return await living(app)

    assert await follow("00G-crm") == ["ada", "bob"]
    await take_grant_back(app, caller)
    assert await follow("00G-crm", "00G-more") == ["ada", "bob"]
    assert await follow("00G-more") == ["bob"]


async def test_doctor_and_figures_tell_of_them(app: App, acme: SandboxOrg, caller: Caller, ada: Connection) -> None:
    async def findings(days: float = 0) -> list[str]:
        catalog, now = await app.access.reload(), datetime.now(UTC) + timedelta(days=days)
        return [each.text for each in await of_connections(app.store, catalog, now)]

    assert await findings() == ["people's own logins to 1 org: 2 ready"]
    (_, dying) = await findings(days=21)
    assert dying.startswith("ada in acme, bob in acme: dies within")
    for principal in ("b2", "b3", "b4", "b5"):
        await connect(app, acme, principal)

    await disable(app, caller)
    assert await findings() == [
        "people's own logins to 1 org: 1 ended, 5 ready",
        "Salesforce is still to be told that 1 login ended here",
    ]
    text = (await PrometheusMetrics().render(app.store, app.access.client.count_calls)).decode()
    assert 'orgserver_connections{state="needs_login"} 0.0' in text
    assert 'orgserver_connections{state="ended"} 1.0' in text
    assert 'orgserver_connections{state="ready"} 5.0' in text
    assert "orgserver_revocations_waiting 1.0" in text


async def test_a_fifth_login_of_one_user_and_app_is_warned_of(app: App, acme: SandboxOrg, ada: Connection) -> None:
    async def crowded(least: int) -> list[tuple[str, int]]:
        async with app.store.database.reading() as connection:
            every = await app.store.orgs.connections.read_approvals(connection, least)
        return sorted((each.username, each.count) for each in every)

    assert ("ada@acme.example", 1) in await crowded(1)
    assert len(await crowded(1)) == 4, "those of two people, and the two orgs' own"
    assert await crowded(2) == []

    def same_app(tx: Any) -> None:  # as if the shared login were hers, too
        values = {"user_id": ada.user.id if ada.user else None, "username": "ada@acme.example"}
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == ada.row_id).values(values))

    await app.store.database.write(same_app)
    assert await crowded(2) == [("ada@acme.example", 2)]


async def test_another_name_or_tag_takes_away_what_was_granted_by_it(app: App, caller: Caller, ada: Connection) -> None:
    await app.registry.update(caller, "acme", tags=("crm",))
    await app.people.principals.update(caller, "ada", PrincipalChanges(grants=granting("tag:crm:read")))
    await take_grant_back(app, caller)
    assert await living(app) == ["ada", "bob"], "the tag is there"

    await app.registry.update(caller, "acme", tags=())
    assert await living(app) == ["bob"]


async def test_an_org_that_is_removed_or_shared_ends_every_login_to_it(
    app: App, acme: SandboxOrg, globex: SandboxOrg, caller: Caller, ada: Connection
) -> None:
    await set_identity(app, "globex", "own")
    await connect(app, globex, "bob")
    await app.registry.remove(caller, "acme", keep_token=True)
    assert await living(app) == ["bob"], "the one to globex"
    assert await app.revoker.send_due() == 2
    assert [each.alive for each in acme.logins.families] == [True, False, False]

    everybody = IdentityChange("shared", seen="own")
    await app.registry.update(caller, "globex", identity=everybody)
    assert await living(app) == []


async def test_an_org_that_was_shared_by_other_hands_ends_every_login_soon(app: App, ada: Connection) -> None:
    await set_identity(app, "acme", "shared")
    assert await Reachability(app.store, app.access).sweep() == 2
    assert await living(app) == []


async def test_whoever_is_removed_leaves_nothing_that_a_namesake_takes_up(
    app: App, acme: SandboxOrg, caller: Caller, ada: Connection
) -> None:
    await app.store.database.write(
        lambda tx: app.store.orgs.connections.map_in(tx, acme.org_id, {"ada": "x@acme.test"})  # type: ignore[arg-type]
    )
    await remove(app, caller)
    await app.people.principals.add(caller, "ada", PrincipalChanges(grants=granting("acme:read")))
    connections = (await app.access.reload()).connections
    assert {each.principal for each in connections.values()} == {"bob"}
    async with app.store.database.reading() as connection:
        table = connection_tables.username_map
        assert (await connection.execute(select(table))).all() == []


async def test_a_login_of_a_local_user_needs_no_grant(app: App, acme: SandboxOrg, caller: Caller) -> None:
    await set_identity(app, "acme", "own")
    await connect(app, acme, caller.principal.name)
    assert await Reachability(app.store, app.access).sweep() == 0
    org = await app.registry.one("acme")
    count = await app.store.database.write(
        lambda tx: login_ends.end_of_org_in(tx, app.store, org, login_ends.NOW_SHARED, caller, "update-org")
    )
    assert (count, await living(app)) == (1, [])

"""A person's own login ends with what let them use it, and Salesforce is told, also where that takes two tries."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from orgserver.app import App
from orgserver.model.access.principals import Selector
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import NoConnection
from orgserver.model.orgs import Caller, Connection, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.connections.reachability import Reachability
from orgserver.services.connections.revoking import GIVEN_UP_US, Revoker
from orgserver.services.orgs.identities import IdentityChange
from orgserver.services.people.requests import GrantChanges, GroupChanges, PrincipalChanges, read_grants
from orgserver.services.tokens import login_ends
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs import refreshes
from orgserver.store.orgs.login_tables import OWN
from orgserver.store.people import connection_tables
from orgserver.store.people import tables as people_tables
from tests.own_logins import connect, set_identity

pytestmark = pytest.mark.both_stores
Change = Callable[[App, Caller], Awaitable[object]]


def granting(*texts: str, revoked: tuple[str, ...] = (), until: datetime | None = None) -> GrantChanges:
    return GrantChanges(read_grants(texts), until, tuple(map(Selector, revoked)))


async def living(app: App) -> list[str]:
    """Whose logins have something left that could be used."""
    async with app.store.database.reading() as connection:
        own = select(OWN.state.c.principal).join(OWN.credentials, OWN.credentials.c.id == OWN.state.c.id)
        return sorted((await connection.execute(own)).scalars())


async def left_of(app: App, own: Connection) -> list[Any]:
    """What is still there of a login's secrets."""
    found: list[Any] = []
    secrets = ((OWN.credentials, "id"), (OWN.access_tokens, "id"), (tables.data_keys, "owner"))
    async with app.store.database.reading() as connection:
        for table, column in secrets:
            found += (await connection.execute(select(table).where(table.c[column] == own.id))).all()
    return found


async def waiting(app: App) -> int:
    async with app.store.database.reading() as connection:
        return (await app.store.revocations.waiting(connection))[0]


async def ends_on_record(app: App) -> list[AuditEntry]:
    await app.store.audit.catch_up()
    every = [entry async for entry in app.audit_log.entries(EntryFilter(action="enrol"))]
    return [entry for entry in every if "connection" in entry.fields and entry.identity == "own"]


@pytest.fixture
async def ada(app: App, acme: SandboxOrg, caller: Caller) -> Connection:
    """Her login to acme; bob has one, too, and what he may do comes by the same ways twice."""
    people = app.people
    await people.principals.add(caller, "ada", PrincipalChanges())
    await people.principals.add(caller, "bob", PrincipalChanges(grants=granting("*:read")))
    await people.groups.add(caller, "ops", GroupChanges(members=("ada", "bob"), grants=granting("acme:read")))
    await set_identity(app, "acme", "own")
    await connect(app, acme, "bob")
    return await connect(app, acme, "ada")


async def disable(app: App, caller: Caller) -> None:
    await app.people.principals.update(caller, "ada", PrincipalChanges(enabled=False))


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


async def test_what_a_process_that_died_left_is_revoked_by_another(
    app: App, acme: SandboxOrg, caller: Caller, ada: Connection, open_again: Any
) -> None:
    await disable(app, caller)  # and here the process dies: nobody has told Salesforce
    family = acme.logins.families[-1]
    async with open_again() as other:
        assert family.alive
        assert await other.revoker.send_due() == 1
        assert not family.alive
    assert await app.revoker.send_due() == 0, "it was done once"


async def test_a_login_host_that_is_away_is_asked_again_later(
    app: App, acme: SandboxOrg, caller: Caller, ada: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = acme.logins.families[-1]
    await disable(app, caller)
    clock, ahead = app.store.database.clock, 0
    monkeypatch.setattr(app.store.database, "clock", lambda: clock() + ahead)
    revoker = Revoker(app.store, Away())  # type: ignore[arg-type]  # as much of a client as it asks for
    assert await revoker.send_due() == 0
    assert await app.revoker.send_due() == 0, "not at once again"
    assert await waiting(app) == 1
    ahead = 61_000_000
    assert await app.revoker.send_due() == 1
    assert not family.alive


async def test_what_cannot_be_told_for_a_day_is_given_up_on_record(
    app: App, caller: Caller, ada: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await disable(app, caller)
    clock = app.store.database.clock
    monkeypatch.setattr(app.store.database, "clock", lambda: clock() + GIVEN_UP_US)
    revoker = Revoker(app.store, Away())  # type: ignore[arg-type]  # as above
    assert await revoker.send_due() == 0
    assert await waiting(app) == 0
    await app.store.audit.catch_up()
    entries = [entry async for entry in app.audit_log.entries(EntryFilter(action="enrol"))]
    assert [(entry.error_code, entry.object) for entry in entries if entry.tool == "revoke"] == [("NOT_REVOKED", "ada")]


class Away:
    """A client of login hosts that are all away."""

    async def post_form(self, *_args: object) -> object:
        raise NoConnection("no connection: refused", hint=None)

    async def close_org(self, _key: str) -> None:
        """Nothing is open."""


async def test_a_copy_of_a_store_revokes_nothing(app: App, acme: SandboxOrg, caller: Caller, ada: Connection) -> None:
    await disable(app, caller)
    assert await waiting(app) == 1

    def copy(tx: Any) -> None:
        tx.connection.execute(update(tables.store).values(copied_at=tx.now))
        refreshes.hold_copied_in(tx, str)

    await app.store.database.write(copy)
    assert await waiting(app) == 0
    bob = (await app.access.reload()).connections
    (held,) = [each for each in bob.values() if each.principal == "bob"]
    assert (held.state, held.refresh_suspended) == (OrgState.IN_DOUBT, True)
    await app.people.principals.remove(caller, "bob")
    assert await living(app) == []
    assert await waiting(app) == 0, "the original goes on with it"


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

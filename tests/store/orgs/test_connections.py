"""People's own logins: what is sealed of one opens nowhere else, and an end leaves nothing that opens."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from orgserver.model.access.logins import LoginKey
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import AccessToken, Connection, Credential, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.store.backup.strip import strip
from orgserver.store.orgs import policies, refreshes
from orgserver.store.orgs.connect_links import ConnectLink
from orgserver.store.orgs.login_tables import OWN, access_token_of, credential_of
from orgserver.store.orgs.refreshes import Closed, Granted, Refreshes
from orgserver.store.people import connection_tables
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Unsealable
from tests.store.orgs.connection_world import World, login_of, make_world

pytestmark = pytest.mark.both_stores


@pytest.fixture
async def world(store: Store) -> World:
    return await make_world(store)


async def test_each_login_opens_as_itself(world: World) -> None:
    for each in (world.ada, world.bob, world.ada_elsewhere):
        credential, access = await world.credential(each.key), await world.access_token(each.key)
        assert credential is not None
        assert access is not None
        assert credential.refresh_token == Secret(f"refresh-{each.id}")
        assert credential.client_secret is not None
        assert credential.private_key is None, "a login in the browser never signs"
        assert access.token == Secret(f"access-{each.id}")
    shared = await world.credential(world.orgs[0].login)
    assert shared is not None
    assert shared.refresh_token == Secret("refresh-token-0")


async def test_a_key_that_names_another_principal_or_org_finds_nothing(world: World) -> None:
    ada = world.ada
    for wrong in (
        LoginKey(ada.row_id, ada.id, "bob"),
        LoginKey(ada.row_id, ada.id, "Ada"),
        LoginKey(world.orgs[1].row_id, ada.id, "ada"),
        LoginKey(ada.row_id, world.bob.id, "ada"),
    ):
        assert await world.credential(wrong) is None
        assert await world.access_token(wrong) is None
        assert isinstance(await world.begin(wrong), Closed)


def move(table: Any, column: str, source: RowId, target: RowId) -> Callable[[Transaction], None]:
    """Put a sealed value into another row, as somebody who can write the database would."""

    def change(tx: Transaction) -> None:
        value = tx.connection.execute(select(table.c[column]).where(table.c.id == source)).scalar_one()
        tx.connection.execute(update(table).where(table.c.id == target).values({column: value}))

    return change


def rename(connection: Connection, **columns: Any) -> Callable[[Transaction], Any]:
    of = OWN.state
    return lambda tx: tx.connection.execute(update(of).where(of.c.id == connection.id).values(columns))


def set_fencing(connection: Connection) -> Callable[[Transaction], None]:
    def change(tx: Transaction) -> None:
        for table in (OWN.credentials, OWN.access_tokens):
            tx.connection.execute(update(table).where(table.c.id == connection.id).values(fencing=5))

    return change


def move_both(source: Connection, target: Connection) -> Callable[[Transaction], None]:
    """Also the data key, so that the values would open if nothing but the key were looked at."""
    keys = tables.data_keys.c

    def change(tx: Transaction) -> None:
        move(OWN.credentials, "refresh_token", source.id, target.id)(tx)
        move(OWN.access_tokens, "token", source.id, target.id)(tx)
        wrapped = tx.connection.execute(select(keys.wrapped).where(keys.owner == source.id)).scalar_one()
        tx.connection.execute(update(tables.data_keys).where(keys.owner == target.id).values(wrapped=wrapped))

    return change


async def free_bobs_place(world: World) -> None:
    await world.write(rename(world.bob, principal="somebody", user_id="005X"))


@pytest.mark.parametrize("what", ["row", "row and key", "principal", "org", "fencing"])
async def test_a_token_that_was_moved_does_not_open(world: World, what: str) -> None:
    ada, bob, login = world.ada, world.bob, world.bob.key
    if what == "row":
        await world.write(move(OWN.credentials, "refresh_token", ada.id, bob.id))
        await world.write(move(OWN.access_tokens, "token", ada.id, bob.id))
    elif what == "row and key":
        await world.write(move_both(ada, bob))
    elif what == "principal":  # ada's row is said to be bob's
        await free_bobs_place(world)
        await world.write(rename(ada, principal="bob"))
        login = LoginKey(ada.row_id, ada.id, "bob")
    elif what == "org":
        await world.write(rename(bob, row_id=world.orgs[1].row_id))
        login = LoginKey(world.orgs[1].row_id, bob.id, "bob")
    else:
        await world.write(set_fencing(bob))

    with pytest.raises(Unsealable):
        await world.credential(login)
    with pytest.raises(Unsealable):
        await world.access_token(login)
    with pytest.raises(Unsealable):
        await world.begin(login)

    untouched = world.ada_elsewhere
    assert await world.credential(untouched.key) is not None, "the twin opens"


async def test_the_row_of_one_is_not_opened_with_the_key_of_another(world: World) -> None:
    """Even where the query would have found it."""
    credentials = world.store.orgs.credentials

    def mix(tx: Transaction) -> None:
        row = tx.connection.execute(credential_of(world.ada.key)).one()
        access = tx.connection.execute(access_token_of(world.ada.key)).one()
        with pytest.raises(Unsealable):
            credentials.open_credential(world.bob.key, row)
        with pytest.raises(Unsealable):
            credentials.open_access_token(world.bob.key, access)
        assert credentials.open_credential(world.ada.key, row)

    await world.write(mix)


async def test_a_refresh_of_one_changes_nobody_elses(world: World) -> None:
    granted = await world.begin(world.ada.key)
    assert isinstance(granted, Granted)
    assert granted.org.user == world.ada.user
    assert granted.org.login == world.ada.key
    steps = Refreshes(world.store.orgs, world.store.process_lock, 5.0)
    access = AccessToken(Secret("new access"), "https://x.my.salesforce.com", 5)
    holder = world.store.process_lock.holder()

    assert await world.write(lambda tx: steps.keep_in(tx, granted, holder, Secret("rotated"), access))

    ada, bob = await world.credential(world.ada.key), await world.credential(world.bob.key)
    assert ada is not None
    assert bob is not None
    assert (ada.refresh_token, ada.fencing) == (Secret("rotated"), 5)
    assert (bob.refresh_token, bob.fencing) == (Secret(f"refresh-{world.bob.id}"), 4)
    assert not await world.write(lambda tx: steps.keep_in(tx, granted, holder, Secret("late"), access))


async def test_an_end_leaves_nothing_that_opens_and_stays_on_record(world: World) -> None:
    granted = await world.begin(world.ada.key)
    assert isinstance(granted, Granted)
    before = await world.snapshot()

    given_back = await world.write(lambda tx: world.store.orgs.connections.end_in(tx, world.ada.key, "disabled"))

    assert given_back.refresh_token == Secret(f"refresh-{world.ada.id}")
    assert await world.credential(world.ada.key) is None
    assert await world.access_token(world.ada.key) is None
    after = await world.snapshot(before)
    ended = after.connections[world.ada.row_id, "ada"]
    assert (ended.state, ended.cause, ended.user) == (OrgState.NEEDS_LOGIN, "disabled", world.ada.user)
    assert after.connections[world.bob.row_id, "bob"] is before.connections[world.bob.row_id, "bob"]
    assert after == await world.snapshot()

    def look(tx: Transaction) -> tuple[Any, ...]:
        keys, leases = tables.data_keys.c, tables.leases.c
        return (
            tx.connection.execute(select(keys.owner).where(keys.owner == world.ada.id)).first(),
            tx.connection.execute(select(leases.holder).where(leases.row_id == world.ada.id)).first(),
            [each.id for each in world.store.orgs.connections.ends_of_in(tx, principal="ada")],
        )

    assert await world.write(look) == (None, None, [world.ada_elsewhere.id])
    steps = Refreshes(world.store.orgs, world.store.process_lock, 5.0)
    access = AccessToken(Secret("late access"), "https://x.my.salesforce.com", 5)
    late = await world.write(lambda tx: steps.keep_in(tx, granted, "holder", Secret("late"), access))
    assert not late, "an answer that comes after the end revives nothing"
    assert isinstance(await world.begin(world.ada.key), Closed)
    assert isinstance(await world.begin(world.bob.key), Granted)


async def test_a_refresh_of_a_login_that_never_came_back_is_known(world: World) -> None:
    assert isinstance(await world.begin(world.ada.key), Granted)
    connections, later = world.store.orgs.connections, world.store.database.clock() + 600_000_000

    async def look() -> list[str]:
        async with world.store.database.reading() as connection:
            return await connections.find_overdue_holders(connection, later)

    assert len(await look()) == 1
    await world.write(lambda tx: connections.end_in(tx, world.ada.key, "disabled"))
    assert await look() == []


async def test_whoever_logs_in_again_has_another_login(world: World) -> None:
    again = replace(world.ada, id=RowId(new_id()))
    credential = Credential("client", None, Secret("another"), fencing=0)

    replaced = await world.write(lambda tx: world.store.orgs.connections.add_in(tx, again, credential, None))

    assert replaced.refresh_token == Secret(f"refresh-{world.ada.id}")
    assert await world.credential(world.ada.key) is None
    snapshot = await world.snapshot()
    assert snapshot.find_login(world.ada.key) is None
    found = snapshot.find_login(again.key)
    assert found is not None
    assert found.login == again.key


async def test_a_salesforce_user_is_one_principals(world: World) -> None:
    connections, org_id = world.store.orgs.connections, world.orgs[0].org_id
    assert org_id is not None
    user = world.ada.user
    assert user is not None

    def ask(tx: Transaction) -> tuple[bool, ...]:
        return (
            connections.user_is_taken_in(tx, org_id, user.id, "bob"),
            connections.user_is_taken_in(tx, org_id, user.id, "ada"),
            connections.username_is_taken_in(tx, org_id, "ADA@x.test", "bob"),
            connections.username_is_taken_in(tx, org_id, "eve@x.test", "bob"),
        )

    assert await world.write(ask) == (True, False, True, False)
    async with world.store.database.reading() as connection:
        assert await connections.count_approvals(connection, "client", user.id) == 1
        assert await connections.count_approvals(connection, "other", user.id) == 0


async def test_the_token_of_another_app_is_not_sent(world: World) -> None:
    def change_app(tx: Transaction) -> None:
        of = tables.credentials
        tx.connection.execute(update(of).where(of.c.row_id == world.orgs[0].row_id).values(client_id="another app"))

    await world.write(change_app)
    begun = await world.begin(world.ada.key)
    assert isinstance(begun, Closed)
    assert begun.org is not None
    assert begun.org.state is OrgState.NEEDS_LOGIN
    assert isinstance(await world.begin(world.ada_elsewhere.key), Granted)


async def test_a_login_by_assertion_waits_until_somebody_confirms_it(world: World) -> None:
    connections = world.store.orgs.connections
    waiting = replace(login_of(world.orgs[0], "eve", 9), kind="jwt", user=None, state=OrgState.NEEDS_LOGIN)
    await world.write(lambda tx: connections.add_in(tx, waiting, None, None))
    assert isinstance(await world.begin(waiting.key), Closed)

    assert await world.write(lambda tx: connections.confirm_in(tx, waiting.key, "admin"))

    granted = await world.begin(waiting.key)
    assert isinstance(granted, Granted)
    assert (granted.credential.refresh_token, granted.credential.client_secret) == (None, None)
    assert granted.credential.private_key is not None
    assert granted.credential.username == waiting.username
    assert await world.write(lambda tx: connections.pin_in(tx, waiting.key, OrgUser("005E", "eve@x.test", "UTC")))
    assert not await world.write(lambda tx: connections.pin_in(tx, waiting.key, OrgUser("005F", "e@x.test", "UTC")))
    assert not await world.write(lambda tx: connections.confirm_in(tx, world.ada.key, "admin")), "not in a browser"


async def test_a_removed_org_takes_its_logins_and_their_keys_with_it(world: World) -> None:
    before = await world.snapshot()
    await world.write(lambda tx: world.store.orgs.remove_in(tx, world.orgs[0].row_id))

    after = await world.snapshot(before)
    assert list(after.connections) == [(world.orgs[1].row_id, "ada")]
    keys = select(tables.data_keys.c.owner)
    owners = await world.write(lambda tx: set(tx.connection.execute(keys).scalars()))
    assert not {world.ada.id, world.bob.id} & owners
    assert await world.credential(world.ada_elsewhere.key) is not None


async def test_another_identity_binds_every_alias_and_shuts_older_programs_out(world: World) -> None:
    row_id = world.orgs[0].row_id
    (before,) = await world.write(lambda tx: policies.identify_in(tx, row_id, "own", None))
    assert before.identity == "shared"
    await world.write(lambda tx: policies.limit_in(tx, row_id, lambda policy: replace(policy, read_only=True)))

    org = (await world.snapshot()).by_row[row_id]
    assert (org.identity, org.policy.read_only) == ("own", True)
    text = await world.write(lambda tx: tx.connection.execute(select(tables.policies.c.policy)).scalars().all())
    assert sum('"identity"' in each for each in text) == 1, "a program that knows no identity refuses that policy"
    oldest = await world.write(lambda tx: tx.connection.execute(select(tables.store.c.oldest_reader)).scalar())
    assert oldest == "0012"


def made_link(world: World, now: int) -> ConnectLink:
    org = world.orgs[0]
    return ConnectLink.to_org(org, "ada", now)


async def test_a_link_goes_on_once_and_opens_where_it_was_sealed(world: World) -> None:
    links = world.store.connect_links
    link = made_link(world, world.store.database.clock())
    await world.write(lambda tx: links.add_in(tx, link, b"nonce"))

    def begin(tx: Transaction) -> bool:
        return links.step_in(tx, link, "asked", "salesforce", facts={"verifier": "v"}, state_digest=b"state")

    assert await world.write(begin)
    assert not await world.write(begin), "of two browsers one goes on"
    async with world.store.database.reading() as connection:
        found = await links.find(connection, state_digest=b"state")
    assert found is not None
    assert await world.write(lambda tx: links.step_in(tx, found, "salesforce", "redeeming"))
    assert await world.write(lambda tx: links.open_in(tx, found)) == {"verifier": "v"}
    of = connection_tables.connect_links
    await world.write(lambda tx: tx.connection.execute(update(of).values(principal="bob")))
    assert await world.write(lambda tx: links.open_in(tx, replace(found, principal="bob"))) == {}


async def test_what_is_left_to_revoke_outlives_its_org_but_no_copy(world: World) -> None:
    revocations, now = world.store.revocations, world.store.database.clock()
    await world.write(lambda tx: revocations.add_in(tx, world.orgs[0], "ada", Secret("over")))
    await world.write(lambda tx: world.store.orgs.remove_in(tx, world.orgs[0].row_id))

    async with world.store.database.reading() as connection:
        (due,) = await revocations.due(connection, now + 1_000_000, 10)
    assert (due.token, due.hosts.login_url) == (Secret("over"), world.orgs[0].login_url)

    await world.write(lambda tx: strip(tx.connection, tx.now))
    held = await world.write(lambda tx: refreshes.hold_copied_in(tx, lambda made_at: f"copied at {made_at}"))

    async with world.store.database.reading() as connection:
        assert await revocations.waiting(connection) == (0, None)
    assert held == 2, "its own login, and the one that all share"
    (kept,) = (await world.snapshot()).connections.values()
    assert (kept.refresh_suspended, kept.state) == (True, OrgState.IN_DOUBT)
    assert await world.access_token(kept.key) is None
    given_back = await world.write(lambda tx: world.store.orgs.connections.end_in(tx, kept.key, "ended in the copy"))
    assert given_back is None, "the original goes on with it"

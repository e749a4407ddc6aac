"""People's own logins where a store's keys are made anew, and in its copies: nothing is lost, and nothing used twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orgserver.model.access.principals import Principal
from orgserver.model.orgs import AccessToken, Caller, OrgState
from orgserver.model.secret import Secret
from orgserver.store.backup import copy as copying
from orgserver.store.session import Store, open_store
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from tests.store.moving.world import Home
from tests.store.orgs.connection_world import World, make_world
from tests.store_server import StoreServer

CALLER = Caller(Principal("local:test"), "cli")


@pytest.fixture
async def world(store: Store) -> World:
    return await make_world(store)


async def expect_all_open(world: World, store: Store) -> None:
    there = World(store, world.orgs, world.ada, world.bob, world.ada_elsewhere)
    for each in (world.ada, world.bob, world.ada_elsewhere):
        credential = await there.credential(each.key)
        assert credential is not None
        assert credential.refresh_token == Secret(f"refresh-{each.id}")


@pytest.mark.both_stores
async def test_a_rotation_with_new_data_keys_loses_no_login(world: World) -> None:
    store = world.store
    revocations, keys = store.revocations, store.wrapped_keys
    await world.write(lambda tx: revocations.add_in(tx, world.orgs[0], "ada", Secret("over")))
    old = await world.write(lambda tx: store.orgs.credentials.data_key_in(tx, world.ada.id))

    page = await world.write(lambda tx: keys.move_in(tx, keys.vault.ring[0], "", 100, reseal=True))

    assert page.unreadable == ()
    assert await world.write(lambda tx: store.orgs.credentials.data_key_in(tx, world.ada.id)) is not old
    await expect_all_open(world, store)
    for each in (world.ada, world.bob):
        access = await world.access_token(each.key)
        assert access is not None
        assert access.token == Secret(f"access-{each.id}")
    async with store.database.reading() as connection:
        (due,) = await revocations.due(connection, store.database.clock() + 1_000_000, 5)
    assert due.token == Secret("over")


@pytest.mark.both_stores
async def test_an_answer_that_waited_beside_the_store_goes_to_its_login_alone(world: World) -> None:
    store, login = world.store, world.ada.key
    await world.credential(login)  # its key is at hand, as after any refresh
    access = AccessToken(Secret("rescued access"), "https://x.my.salesforce.com", 5)
    await asyncio.to_thread(store.rescue.keep, login, 4, Secret("rescued"), access)

    assert await store.take_in_rescued() == {login.id}

    credential, bobs = await world.credential(login), await world.credential(world.bob.key)
    assert credential is not None
    assert bobs is not None
    assert (credential.refresh_token, credential.fencing) == (Secret("rescued"), 5)
    assert (bobs.refresh_token, bobs.fencing) == (Secret(f"refresh-{world.bob.id}"), 4)


async def test_an_answer_for_a_login_that_has_ended_is_not_taken_in(world: World) -> None:
    store, login = world.store, world.ada.key
    await world.credential(login)
    path = await asyncio.to_thread(store.rescue.keep, login, 4, Secret("rescued"), None, state=OrgState.IN_DOUBT)
    await world.write(lambda tx: store.orgs.connections.end_in(tx, login, "disabled"))

    assert await store.take_in_rescued() == set()
    assert not path.exists()
    assert await world.credential(login) is None


@pytest.mark.both_stores
async def test_in_a_restored_backup_every_login_is_held_back(world: World, tmp_path: Path, ring: Key) -> None:
    backup, target = tmp_path / "backup.db", tmp_path / "elsewhere" / "orgserver.db"
    await copying.backup(world.store, backup, CALLER)
    await copying.restore(backup, target, lambda: Vault([ring]), CALLER)

    copy = await open_store(target, lambda _create: Vault([ring]))
    try:
        await expect_all_open(world, copy)
        async with copy.database.reading() as connection:
            logins = await copy.orgs.connections.read_all(connection)
            access = await copy.orgs.credentials.access_token(connection, world.ada.key)
        assert {(each.state, each.refresh_suspended) for each in logins.values()} == {(OrgState.IN_DOUBT, True)}
        assert access is None
    finally:
        await copy.close()
    await expect_all_open(world, world.store)


async def test_logins_move_with_their_store_to_a_server(tmp_path: Path, store_server: StoreServer) -> None:
    home, name = Home.make(tmp_path / "home", "schema-0011"), store_server.database()
    store = await home.open(home.store)
    world: Any = await make_world(store)
    await store.close()

    await home.move(home.database(store_server, name))

    moved = await home.open(home.database(store_server, name))
    try:
        await expect_all_open(world, moved)
    finally:
        await moved.close()
        store_server.drop(name)

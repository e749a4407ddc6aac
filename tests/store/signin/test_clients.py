"""Clients: as many as may be, forgotten when nobody uses them, kept while somebody is signed in from them."""

from dataclasses import replace
from functools import partial

import pytest

from orgserver.model.access.people import OAuthClient
from orgserver.store.signin import clients, sweep
from orgserver.store.signin.clients import MAX_UNCONSENTED, StoredClient

from .world import CLIENT, DAY, HOUR, World

REGISTERED = OAuthClient("registered-1", "registered", "Client", ("http://127.0.0.1/cb",))


async def find(world: World, client_id: str) -> StoredClient | None:
    return await world.read(lambda connection: clients.find(connection, client_id))


async def test_a_document_is_kept_over_the_one_before(world: World) -> None:
    until = world.clock.now + HOUR
    await world.write(lambda tx: clients.save_document_in(tx, CLIENT, {"client_name": "Client"}, until))
    newer = replace(CLIENT, name="Newer")
    await world.write(lambda tx: clients.save_document_in(tx, newer, {"client_name": "Newer"}, until + HOUR))

    assert await find(world, CLIENT.client_id) == StoredClient(newer, {"client_name": "Newer"}, until + HOUR)
    assert await find(world, CLIENT.client_id.upper()) is None


async def test_clients_that_nobody_consented_to_do_not_fill_the_store(world: World) -> None:
    every = [replace(REGISTERED, client_id=f"c{each}") for each in range(MAX_UNCONSENTED)]
    assert await world.write(lambda tx: {clients.register_in(tx, each, {}) for each in every}) == {True}
    assert not await world.write(lambda tx: clients.register_in(tx, REGISTERED, {}))

    await world.write(lambda tx: clients.use_in(tx, "c0"))
    assert await world.write(lambda tx: clients.register_in(tx, REGISTERED, {}))


async def test_documents_that_nobody_uses_make_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_DOCUMENTS", 2)
    await world.add_people("ada")
    await world.write(lambda tx: clients.save_document_in(tx, CLIENT, {}, tx.now))
    await world.sign_in()
    others = [replace(CLIENT, client_id=f"https://{each}.example/id") for each in range(2)]
    for other in others:
        await world.write(partial(clients.save_document_in, client=other, metadata={}, fresh_until=world.clock.now + 1))

    assert await find(world, CLIENT.client_id) is not None, "somebody is signed in from it"
    assert [await find(world, each.client_id) is not None for each in others] == [False, True]


async def test_documents_of_sign_ins_under_way_do_not_make_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_DOCUMENTS", 1)
    await world.write(lambda tx: clients.save_document_in(tx, CLIENT, {}, tx.now))
    await world.begin()
    for number in range(2):
        other = replace(CLIENT, client_id=f"https://{number}.example/id")
        await world.write(partial(clients.save_document_in, client=other, metadata={}, fresh_until=world.clock.now + 1))

    assert await find(world, CLIENT.client_id) is not None
    assert await find(world, "https://0.example/id") is None


async def test_what_nobody_uses_is_forgotten(world: World) -> None:
    await world.add_people("ada")
    await world.write(lambda tx: clients.save_document_in(tx, CLIENT, {}, tx.now + HOUR))
    await world.write(lambda tx: clients.register_in(tx, REGISTERED, {}))
    used = replace(REGISTERED, client_id="used")
    await world.write(lambda tx: clients.register_in(tx, used, {}))
    await world.write(lambda tx: clients.use_in(tx, "used"))

    async def after(days: int) -> list[bool]:
        world.clock.now += days * DAY
        await world.write(sweep.sweep_in)
        return [await find(world, each) is not None for each in (CLIENT.client_id, "registered-1", "used")]

    assert await after(0) == [True, True, True]
    assert await after(1) == [True, False, True]
    assert await after(7) == [False, False, True]
    assert await after(82) == [False, False, False]


async def test_what_somebody_is_signed_in_from_stays(world: World) -> None:
    await world.add_people("ada")
    await world.write(lambda tx: clients.save_document_in(tx, CLIENT, {}, tx.now))
    session_id = await world.sign_in()
    renew = world.sessions.renew_in
    await world.write(lambda tx: renew(tx, session_id, provider_token=None, expires_at=tx.now + 30 * DAY))
    world.clock.now += 20 * DAY
    await world.write(sweep.sweep_in)
    assert await find(world, CLIENT.client_id) is not None

    world.clock.now += 20 * DAY
    await world.write(sweep.sweep_in)
    assert await find(world, CLIENT.client_id) is None

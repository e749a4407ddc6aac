"""Clients: as many as may be, forgotten when nobody uses them, kept while somebody is signed in from them."""

from dataclasses import replace
from functools import partial

import pytest

from orgserver.model.access.people import OAuthClient
from orgserver.store.signin import clients, sweep
from orgserver.store.signin.clients import StoredClient

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


async def register(world: World, *client_ids: str) -> list[bool]:
    every = [replace(REGISTERED, client_id=each) for each in client_ids]
    return [await world.write(partial(clients.register_in, client=each, metadata={})) for each in every]


async def kept(world: World, *client_ids: str) -> list[str]:
    return [each for each in client_ids if await find(world, each) is not None]


async def test_the_oldest_that_nobody_consented_to_makes_room_for_whoever_registers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MAX_UNCONSENTED", 2)
    assert await register(world, "c0", "c1") == [True, True]
    await world.write(lambda tx: clients.use_in(tx, "c0"))
    assert await register(world, "c2") == [True]
    assert await kept(world, "c0", "c1", "c2") == ["c0", "c1", "c2"], "a consent takes no place of these"

    assert await register(world, "c3") == [True]
    assert await kept(world, "c0", "c1", "c2", "c3") == ["c0", "c2", "c3"]


async def test_who_is_signing_in_makes_room_last_and_who_is_asked_never(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MAX_UNCONSENTED", 3)
    await world.add_people("ada")
    await register(world, "asked", "at the provider", "unused")
    await world.begin("second", client_id="at the provider")
    begun = await world.begin("first", client_id="asked")
    assert begun is not None
    await world.take("first")

    assert await register(world, "new") == [True]
    assert await kept(world, "asked", "at the provider", "unused", "new") == ["asked", "at the provider", "new"]
    await world.begin("third", client_id="new")
    assert await register(world, "newer") == [True]
    assert await kept(world, "asked", "at the provider", "new", "newer") == ["asked", "new", "newer"]


async def test_where_all_that_might_go_are_asked_about_nobody_more_is_registered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MAX_REGISTERED", 1)
    await register(world, "asked")
    await world.begin(client_id="asked")
    await world.take()

    assert await register(world, "new") == [False]
    world.clock.now += HOUR
    await world.write(sweep.sweep_in)
    assert await register(world, "new") == [True]


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

"""New keys for what sign-ins keep, while servers run: everything goes on, and the old keys open nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from orgserver.model.access.principals import Principal
from orgserver.model.errors import KeyProblem, StoreError
from orgserver.model.orgs import Caller
from orgserver.services.doctor.store import left_behind
from orgserver.services.key_rotation import MasterKeys
from orgserver.store import tables as store_tables
from orgserver.store.session import Store, open_store
from orgserver.store.signin import tables
from orgserver.store.signin.requests import SignInRequest
from orgserver.vault.keys import Context, Key, Unsealable
from orgserver.vault.ring import Vault, retry_behind, write_ring
from orgserver.vault.sources import FileRing
from tests.store.signin.world import BROWSER, World

CALLER = Caller(Principal("local:tester"), "cli")
SEALED = ((tables.requests, "sealed"), (tables.sessions, "provider_token"))


@pytest.fixture
def ring_path(tmp_path: Path, ring: Key) -> Path:
    path = tmp_path / "ring"
    path.touch(mode=0o600)
    path.write_text(write_ring([ring]))
    return path


@pytest.fixture
def opens(store_file: Path, ring_path: Path) -> Callable[[], Any]:
    @asynccontextmanager
    async def open_it() -> AsyncIterator[World]:
        source = FileRing(ring_path)
        world = World(await open_store(store_file, lambda _create: Vault(source.read(), source)))
        yield world
        await world.close()

    return open_it


@pytest.fixture
async def world(opens: Callable[[], Any]) -> AsyncIterator[World]:
    async with opens() as opened:
        await opened.add_people("ada")
        yield opened


async def open_token(world: World, session_id: str) -> str:
    token = await world.write(lambda tx: world.sessions.open_provider_token_in(tx, session_id))
    assert token is not None
    return token.reveal()


async def read_sealed(world: World) -> list[bytes]:
    columns = [select(table.c[name]).where(table.c[name].is_not(None)) for table, name in SEALED]
    return await world.write(lambda tx: [each for query in columns for each in tx.connection.execute(query).scalars()])


async def wrapped_key(store: Store) -> bytes:
    keys = store_tables.data_keys
    query = select(keys.c.wrapped).where(keys.c.owner == store.id)
    return await store.database.write(lambda tx: tx.connection.execute(query).scalar_one())


async def test_after_a_reseal_whoever_is_signed_in_or_about_to_be_goes_on_in_every_server(
    world: World, opens: Callable[[], Any]
) -> None:
    session_id = await world.sign_in("first")
    request_id = await world.await_consent("second")
    begun = await world.begin("third")
    before = await read_sealed(world)
    async with opens() as other:
        done = await MasterKeys(other.store).rotate(CALLER, reseal=True)
        assert done.usage[done.key] == sum(done.usage.values())
        assert await open_token(other, session_id) == "prt"

    after = await read_sealed(world)
    assert len(before) == len(after) == 3
    assert not set(before) & set(after)
    assert await open_token(world, session_id) == "prt"
    assert await world.take("third") == begun
    finished = await world.write(lambda tx: world.requests.finish_in(tx, request_id, BROWSER))
    assert isinstance(finished, SignInRequest)
    assert finished.provider_token is not None
    assert finished.provider_token.reveal() == "prt"


async def test_whoever_had_the_old_keys_opens_nothing_of_today(world: World, ring: Key) -> None:
    await world.sign_in("first")
    old = Vault([ring]).data_key(await wrapped_key(world.store), world.store.id, "org")
    store_key = world.store.cursors

    await MasterKeys(world.store).rotate(CALLER, reseal=True)

    for sealed in await read_sealed(world):
        for key in (old, store_key, ring):
            with pytest.raises(Unsealable, match="is sealed with key"):
                key.open(sealed, Context("any", "any", "any"))
    with pytest.raises(KeyProblem):
        Vault([ring]).data_key(await wrapped_key(world.store), world.store.id, "org")


async def test_without_reseal_the_sealed_values_stay_and_their_key_moves(world: World) -> None:
    session_id = await world.sign_in()
    before, wrapped = await read_sealed(world), await wrapped_key(world.store)

    await MasterKeys(world.store).rotate(CALLER)

    assert await read_sealed(world) == before
    assert await wrapped_key(world.store) != wrapped
    assert await open_token(world, session_id) == "prt"


async def test_the_key_of_cursors_and_forms_is_a_new_one_for_those_who_start_later(
    world: World, opens: Callable[[], Any]
) -> None:
    await MasterKeys(world.store).rotate(CALLER)
    async with opens() as other:
        assert other.store.cursors.id == world.store.cursors.id
        await MasterKeys(other.store).rotate(CALLER, reseal=True)
    async with opens() as later:
        assert later.store.cursors.id != world.store.cursors.id


async def test_a_reseal_that_was_cut_off_behind_the_sign_ins_does_not_seal_them_again(world: World) -> None:
    await world.sign_in()

    def cut(_done: int, _total: int) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await MasterKeys(world.store).rotate(CALLER, reseal=True, progress=cut)
    half = await read_sealed(world)
    done = await MasterKeys(world.store).rotate(CALLER, reseal=True)

    assert (done.made, done.resumed) == (False, True)
    assert await read_sealed(world) == half


async def test_doctor_counts_what_nothing_opens_any_more(world: World) -> None:
    assert await left_behind(world.store, ()) == []
    await world.sign_in("first")
    await world.begin("second")
    assert await left_behind(world.store, ()) == []

    keys = store_tables.data_keys
    await world.write(lambda tx: tx.connection.execute(delete(keys).where(keys.c.owner == world.store.id)))
    (finding,) = await left_behind(world.store, ())

    assert (finding.name, finding.level) == ("sealed values", "warning")
    assert "2 sign-ins and sessions" in finding.text


class AnsweredRing(FileRing):
    """A source that is never read on the event loop."""

    slow = True

    def changed(self) -> bool:
        return True


async def test_a_server_whose_ring_is_read_slowly_finds_the_new_key(
    world: World, store_file: Path, ring_path: Path, ring: Key
) -> None:
    session_id = await world.sign_in()
    server = World(await open_store(store_file, lambda _create: Vault([ring], AnsweredRing(ring_path))))
    await MasterKeys(world.store).rotate(CALLER, reseal=True)

    assert await retry_behind(lambda: open_token(server, session_id)) == "prt"
    await server.close()


async def test_a_server_without_the_new_key_says_so_and_does_not_take_the_token_for_a_changed_one(
    world: World, store_file: Path, ring: Key
) -> None:
    """Unsealable would end the session."""
    session_id = await world.sign_in()
    server = World(await open_store(store_file, lambda _create: Vault([ring])))
    await MasterKeys(world.store).rotate(CALLER, reseal=True)

    with pytest.raises(StoreError, match="the key of sign-ins does not open"):
        await open_token(server, session_id)
    assert await open_token(world, session_id) == "prt"
    await server.close()

"""A store on a server: one writer of all at a time, reads of one moment, and a start that is made once."""

import asyncio
import threading
import time

import pytest
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DisconnectionError

from orgserver.model.errors import StoreError
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.database import Database
from orgserver.store.engines import server_connections
from orgserver.store.engines.address import ServerAddress
from orgserver.store.session import open_store
from orgserver.store.transaction import Transaction, read_clock
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from tests.store_server import StoreServer


async def test_two_first_starts_make_one_store(address: ServerAddress, ring: Key) -> None:
    stores = await asyncio.gather(*(open_store(address, lambda _create: Vault([ring])) for _ in range(2)))

    assert len({store.id for store in stores}) == 1
    for store in stores:
        await store.close()


async def test_changes_of_two_processes_take_turns(address: ServerAddress, ring: Key) -> None:
    stores = [await open_store(address, lambda _create: Vault([ring])) for _ in range(2)]

    def count_up(tx: Transaction) -> int:
        """As one would who was alone: read, then write."""
        seen = tx.connection.execute(select(tables.store.c.catalog_version)).scalar_one()
        tx.connection.execute(tables.store.update().values(catalog_version=seen + 1))
        return int(seen)

    seen = await asyncio.gather(*(store.database.write(count_up) for store in stores for _ in range(40)))

    assert sorted(seen) == list(range(min(seen), min(seen) + 80))
    for store in stores:
        await store.close()


async def test_what_is_read_is_of_one_moment_and_cannot_be_written(address: ServerAddress, ring: Key) -> None:
    store = await open_store(address, lambda _create: Vault([ring]))
    version = select(tables.store.c.catalog_version)
    async with store.database.reading() as connection:
        before = (await connection.execute(version)).scalar_one()
        await store.database.write(changed_in)
        assert (await connection.execute(version)).scalar_one() == before
        assert (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "on"

    def count(connection: Connection) -> int:
        with connection.begin():
            return int(connection.execute(select(func.count()).select_from(tables.store)).scalar_one())

    assert await store.database.scan(count) == 1
    await store.close()


async def test_the_instant_of_a_change_is_the_servers_and_a_test_has_its_own(address: ServerAddress) -> None:
    real, tested = await Database.open(address), await Database.open(address, clock=lambda: 1_000_000)
    before = read_clock()

    assert before - 1_000_000 < await real.write(lambda tx: tx.now) < read_clock() + 1_000_000
    assert await tested.write(lambda tx: tx.now) == 1_000_000
    assert abs(real.clock() - read_clock()) < 1_000_000

    await real.close()
    await tested.close()


async def test_who_waits_for_another_writer_and_connects_anew_is_counted(
    address: ServerAddress, store_server: StoreServer, store_database: str
) -> None:
    one, other = await Database.open(address), await Database.open(address)
    holds, goes_on = threading.Event(), threading.Event()

    def hold(_tx: Transaction) -> None:
        holds.set()
        goes_on.wait(20)

    holding = asyncio.create_task(other.write(hold))
    await asyncio.to_thread(holds.wait, 20)
    waiting = asyncio.create_task(one.write(lambda tx: tx.now))
    locks = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while not await asyncio.to_thread(store_server.ask, store_database, locks):
        await asyncio.sleep(0.01)
    began = time.monotonic()
    await asyncio.sleep(0.05)
    goes_on.set()
    waited = time.monotonic() - began
    await asyncio.gather(holding, waiting)
    number, seconds = one.lock_waits
    assert one.reconnects == 0

    await asyncio.to_thread(store_server.terminate_backends, store_database)
    await one.write(lambda tx: tx.now)

    assert number == 1
    assert seconds >= waited
    assert one.reconnects == 1
    await one.close()
    await other.close()


async def test_a_server_that_was_restarted_is_written_again(
    address: ServerAddress, ring: Key, store_server: StoreServer, store_database: str
) -> None:
    store = await open_store(address, lambda _create: Vault([ring]))
    await asyncio.to_thread(store_server.terminate_backends, store_database)

    await asyncio.gather(store.database.write(changed_in), return_exceptions=True)
    await store.database.write(changed_in)

    await store.close()


async def test_reads_whose_new_connections_are_closed_at_once_are_told_that_the_server_is_away(
    address: ServerAddress, ring: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DisconnectionError

    monkeypatch.setattr(server_connections, "_refuse_closed", refuse)
    store = await open_store(address, lambda _create: Vault([ring]))

    with pytest.raises(StoreError, match="does not answer"):
        async with store.database.reading():
            pass

    await store.close()


async def test_a_session_that_ends_after_a_read_takes_nothing_from_what_was_read(
    address: ServerAddress, ring: Key, store_server: StoreServer, store_database: str
) -> None:
    store = await open_store(address, lambda _create: Vault([ring]))
    version = select(tables.store.c.catalog_version)

    async with store.database.reading() as connection:
        before = (await connection.execute(version)).scalar_one()
        await asyncio.to_thread(store_server.terminate_backends, store_database)

    async with store.database.reading() as connection:
        assert (await connection.execute(version)).scalar_one() == before
    await store.close()

"""What is read of a store on a server at each request is never older than the question, and asked once for many."""

import asyncio
import socket
from typing import Any

import pytest

from orgserver.model.errors import StoreError
from orgserver.store.catalog_version import changed_in
from orgserver.store.database import Database
from orgserver.store.engines import server_connections, server_reader
from orgserver.store.engines.address import ServerAddress
from orgserver.store.engines.server_reader import ServerReader
from orgserver.store.session import Store, open_store
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from tests.store_server import StoreServer


async def made(address: ServerAddress, ring: Key) -> Store:
    return await open_store(address, lambda _create: Vault([ring]))


async def test_a_change_of_another_process_is_seen_by_the_next_question(address: ServerAddress, ring: Key) -> None:
    ours, theirs = await made(address, ring), await made(address, ring)
    reader = ours.database.version_reader
    first = await reader.ask_version()

    for count in range(1, 21):
        await theirs.database.write(changed_in)
        assert await reader.ask_version() == first + count

    await ours.close()
    await theirs.close()


async def test_many_who_ask_at_once_are_one_question_and_who_comes_later_is_another(
    address: ServerAddress, ring: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await made(address, ring)
    reader = ServerReader(address)
    await reader.ask_version()
    sent = 0
    fetch = reader._fetch_once

    async def counted(sql: str, values: tuple[Any, ...]) -> list[Any]:
        nonlocal sent
        sent += 1
        if sent == 1:  # it is under way: whoever asks now is not answered by it
            later.append(asyncio.create_task(reader.ask_version()))
            await asyncio.sleep(0)
            await store.database.write(changed_in)
        return await fetch(sql, values)

    later: list[asyncio.Task[int]] = []
    monkeypatch.setattr(reader, "_fetch_once", counted)
    answers = await asyncio.gather(*(reader.ask_version() for _ in range(100)))

    assert len(set(answers)) == 1
    assert await later[0] == answers[0]
    assert sent == 2
    await reader.aclose()
    await store.close()


async def test_a_caller_who_goes_away_takes_no_answer_from_the_others(address: ServerAddress, ring: Key) -> None:
    store = await made(address, ring)
    reader = store.database.version_reader
    asking = [asyncio.create_task(reader.ask_version()) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()

    assert len(set(await asyncio.gather(*asking[1:]))) == 1

    await store.close()


async def test_a_line_that_was_lost_is_made_anew(
    address: ServerAddress, ring: Key, store_server: StoreServer, store_database: str
) -> None:
    store = await made(address, ring)
    before = await store.database.version_reader.ask_version()

    for _ in range(5):
        await asyncio.to_thread(store_server.terminate_backends, store_database)
        assert await store.database.version_reader.ask_version() == before

    await store.close()


async def test_a_server_that_does_not_answer_is_not_waited_for(
    address: ServerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_reader, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = address.url.set(port=silent.getsockname()[1])
        reader = ServerReader(ServerAddress(url, address.beside))
        with pytest.raises(StoreError, match="does not answer"):
            await reader.ask_version()
        await reader.aclose()


async def test_a_store_that_holds_nothing_yet_is_not_taken_for_one(address: ServerAddress) -> None:
    database = await Database.open(address)
    with pytest.raises(StoreError, match="holds nothing yet"):
        await database.version_reader.ask_version()
    await database.close()


async def test_a_password_that_takes_longer_than_an_answer_may_is_waited_for_by_the_connection_not_by_callers(
    address: ServerAddress, ring: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await made(address, ring)).close()
    asked, is_there = 0, asyncio.Event()
    connect = server_connections.connect

    async def connect_late(address: ServerAddress) -> Any:
        nonlocal asked
        asked += 1
        await is_there.wait()
        return await connect(address)

    monkeypatch.setattr(server_reader, "connect", connect_late)
    monkeypatch.setattr(server_reader, "ANSWER_SECONDS", 0.05)
    reader = ServerReader(address)
    for _ in range(3):
        with pytest.raises(StoreError):
            await reader.ask_version()
    is_there.set()
    monkeypatch.setattr(server_reader, "ANSWER_SECONDS", 20.0)

    assert await reader.ask_version() == await reader.ask_version()
    assert asked == 1
    await reader.aclose()


async def test_a_connection_under_way_is_given_up_with_its_reader(
    address: ServerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = asyncio.Event()

    async def connect_never(_address: ServerAddress) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(server_reader, "connect", connect_never)
    monkeypatch.setattr(server_reader, "ANSWER_SECONDS", 0.05)
    reader = ServerReader(address)
    with pytest.raises(StoreError):
        await reader.ask_version()
    await reader.aclose()

    await asyncio.wait_for(ended.wait(), 20)

"""A store moves to a server and back: all of it, verified, and never two that can be opened."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import KeyProblem, StoreAway, StoreError
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store import tables
from orgserver.store.audit import chain
from orgserver.store.engines.address import ServerAddress, StoreAddress
from orgserver.store.moving import copy_marks, places
from orgserver.store.session import Store
from orgserver.vault.keys import Key
from orgserver.vault.ring import write_ring
from tests.store.moving.world import Home, read
from tests.store_server import StoreServer

SCHEMAS = ("schema-0007", "schema-0008", "schema-0009")
LOG = ("audit_events", "audit_head", "audit_checkpoints")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.make(tmp_path / "home")


@pytest.fixture
def empty(store_server: StoreServer, home: Home) -> Iterator[ServerAddress]:
    """A database with nothing in it."""
    name = store_server.database()
    yield home.database(store_server, name)
    store_server.drop(name)


async def entries_of(store: Store) -> list[Any]:
    return [*await AuditLogReader(store).newest(EntryFilter(), 200)]


async def opens(home: Home, address: StoreAddress) -> bool:
    try:
        await (await home.open(address)).close()
    except StoreError:
        return False
    return True


@pytest.mark.parametrize("version", SCHEMAS)
async def test_a_store_of_each_schema_is_on_the_server_what_it_was_in_its_file(
    version: str, tmp_path: Path, store_server: StoreServer
) -> None:
    home = Home.make(tmp_path / "home", version)
    await (await home.open(home.store)).close()  # which migrates it
    before = await read(home.store, *LOG)
    name = store_server.database()
    target = home.database(store_server, name)

    copied = await home.move(target)
    after = await read(target, *LOG)
    store = await home.open(target)
    tools = [entry.tool for entry in await entries_of(store)]
    await store.close()

    assert after == before
    assert (copied.orgs, copied.files, copied.chain_problem) == (2, 1, None)
    assert tools[0] == "store copy"
    assert len(tools) > 10
    assert target.beside.with_name(f"{target.beside.name}.checkpoints").exists()
    store_server.drop(name)


async def test_it_comes_back_into_a_file_and_each_move_is_on_record_at_both_ends(
    home: Home, empty: ServerAddress
) -> None:
    back = home.file("back.db")

    await home.move(empty)
    await home.move(back, empty)
    store = await home.open(back)
    moves = [entry for entry in await entries_of(store) if entry.tool == "store copy"]
    await store.close()

    assert [(entry.principal, entry.action, entry.outcome) for entry in moves] == [
        ("local:mover", Action.EXPORT, Outcome.SUCCEEDED)
    ] * 2
    assert [await opens(home, each) for each in (home.store, empty, back)] == [False, False, True]


async def test_where_it_was_it_says_where_it_is_and_moves_nowhere_else(home: Home, empty: ServerAddress) -> None:
    await home.move(empty)

    with pytest.raises(StoreError, match=f"was moved to {empty}, and is not used here"):
        await home.open(home.store)
    with pytest.raises(StoreError, match=f"was moved to {empty}"):
        await home.move(home.file("other.db"))
    again = await home.move(empty)

    assert again.orgs == 2
    assert not home.file("other.db").file.exists()


async def test_what_was_cut_off_goes_on_and_takes_along_what_changed_meanwhile(
    home: Home, empty: ServerAddress
) -> None:
    def cut_off(table: str, _rows: int) -> None:
        if table == "audit_entries":
            raise StoreError("cut off")

    with pytest.raises(StoreError, match="cut off"):
        await home.move(empty, tell=cut_off)
    refused = await opens(home, empty)
    store = await home.open(home.store)  # it is still the store
    await store.database.write(lambda tx: tx.connection.execute(update(tables.orgs).values(name="Renamed")).rowcount)
    await store.audit.record(Intent(new_id(), "local:x", "cli", Action.VERIFY), Completion(Outcome.SUCCEEDED))
    await store.close()
    before = await read(home.store, *LOG)

    await home.move(empty)

    assert not refused
    assert await read(empty, *LOG) == before
    assert [await opens(home, each) for each in (home.store, empty)] == [False, True]


async def test_what_waits_beside_the_store_is_taken_along(home: Home, empty: ServerAddress) -> None:
    waiting = home.folder / "orgserver.db.rescue-0011223344556677"
    waiting.write_text("of another key")  # so that it is not taken in before

    copied = await home.move(empty)

    assert copied.files == 2
    assert empty.beside.with_name(f"{empty.beside.name}.rescue-0011223344556677").read_text() == "of another key"


async def test_a_server_that_was_cut_off_writes_nothing_any_more(
    home: Home, empty: ServerAddress, store_server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.move(empty)
    store = await home.open(empty)
    name = store_server.database()
    monkeypatch.setattr(places, "_refuse_living", lambda _place: None)  # its sessions have ended, it has not

    await home.move(home.database(store_server, name), empty)

    with pytest.raises(StoreAway, match="cannot be written"):
        await store.audit.record(Intent(new_id(), "local:x", "cli", Action.VERIFY), Completion(Outcome.SUCCEEDED))
    with pytest.raises(StoreError, match="lacks a table of ours"):
        await store.database.write(lambda tx: tx.connection.execute(update(tables.orgs).values(name="x")).rowcount)
    await store.close()
    store_server.drop(name)


async def test_a_server_that_starts_meanwhile_waits_and_finds_the_store_gone(
    home: Home, empty: ServerAddress, store_server: StoreServer
) -> None:
    await home.move(empty)
    name, waiting = empty.url.database or "", "SELECT 1 FROM pg_locks WHERE NOT granted"
    late = ThreadPoolExecutor(1)
    starts: list[Future[Any]] = []

    def start_meanwhile(table: str, _rows: int) -> None:
        if table == "audit_events" and not starts:
            starts.append(late.submit(store_server.ask, name, "SELECT id FROM audit_head FOR NO KEY UPDATE"))
            while not store_server.ask(name, waiting) and not starts[0].done():
                time.sleep(0.01)

    await home.move(home.file("there.db"), empty, start_meanwhile)

    assert 'relation "audit_head" does not exist' in str(await asyncio.to_thread(starts[0].exception))


async def test_while_somebody_uses_the_store_it_does_not_move(home: Home, empty: ServerAddress) -> None:
    there = home.file("there.db")
    await home.move(empty)
    store = await home.open(empty)

    with pytest.raises(StoreError, match=r"is in use by session \d+"):
        await home.move(there, empty)
    await store.close()
    await home.move(there, empty)

    assert await opens(home, there)


# -- bad input


def _foreign(server: StoreServer, _home: Home) -> str:
    name = server.database()
    server.ask(name, "CREATE TABLE customers (id int PRIMARY KEY)")
    return name


def _occupied(server: StoreServer, _home: Home) -> str:
    return server.database(server.template)


def _read_only(server: StoreServer, _home: Home) -> str:
    name = server.database()
    server.ask("postgres", f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    return name


BAD: dict[str, tuple[Callable[[StoreServer, Home], str], str]] = {
    "another program's": (_foreign, "is not empty: another program has tables there"),
    "a store": (_occupied, "is not empty: it holds a store, which is left as it is"),
    "read-only": (_read_only, "is read-only"),
    "missing": (lambda _server, _home: "nowhere", "has no such database"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_place_that_cannot_take_it_is_refused_and_nothing_is_done(
    case: str, home: Home, store_server: StoreServer
) -> None:
    prepare, words = BAD[case]
    name = await asyncio.to_thread(prepare, store_server, home)
    count = partial(store_server.ask, name, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    before = None if case == "missing" else await asyncio.to_thread(count)

    with pytest.raises(StoreError, match=words):
        await home.move(home.database(store_server, name))

    assert await opens(home, home.store)
    if before is not None:
        assert await asyncio.to_thread(count) == before
        store_server.drop(name)


async def test_a_wrong_key_or_a_server_that_is_away_leaves_both_as_they_are(
    home: Home, store_server: StoreServer
) -> None:
    other = home.file("other.db")
    (home.folder / "master.key").write_text(write_ring([Key.new()]))
    away = home.database(store_server, "x")
    away = ServerAddress(away.url.set(port=1), away.beside)

    with pytest.raises(StoreError, match="does not answer"):
        await home.move(away)
    with pytest.raises(KeyProblem, match="not the one this store was sealed with"):
        await home.move(other)

    assert not other.file.exists()


async def test_the_unfinished_copy_of_another_store_is_left_alone(
    home: Home, empty: ServerAddress, tmp_path: Path
) -> None:
    def cut_off(_table: str, _rows: int) -> None:
        raise StoreError("cut off")

    with pytest.raises(StoreError, match="cut off"):
        await home.move(empty, tell=cut_off)
    another = Home.make(tmp_path / "another", "schema-0008")

    with pytest.raises(StoreError, match="holds a copy of another store that is not finished"):
        await another.move(empty)


async def test_of_two_unfinished_copies_only_the_one_that_was_moved_to_becomes_the_store(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = home.file("first.db"), home.file("second.db")

    def fail(*_: object) -> None:
        raise StoreError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(copy_marks, "mark_moved", fail)
        with pytest.raises(StoreError, match="cut off"):
            await home.move(first)  # it is verified
    await home.move(second)

    with pytest.raises(StoreError, match="was moved to"):
        await home.move(first)
    assert [await opens(home, each) for each in (home.store, first, second)] == [False, False, True]


@pytest.mark.parametrize("is_indexed", [True, False], ids=["searched before", "not searched yet"])
async def test_a_name_that_a_server_cannot_hold_is_replaced_beside_the_log_which_verifies(
    is_indexed: bool, home: Home, empty: ServerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await home.open(home.store)
    monkeypatch.setattr(chain, "storable_intent", lambda intent: intent)  # as before schema 0010
    strange = ("0\0Q", "half \ud83d", "\ude00\\\\\0", "\\u0000")
    intent = Intent(new_id(), "local:x", "stdio", Action.CREATE, tool="a\0b", org="x\0", record_ids=strange)
    await store.audit.record(intent, Completion(Outcome.DENIED))
    if is_indexed:
        await store.audit.catch_up()
    await store.close()

    copied = await home.move(empty)
    there = await home.open(empty)
    (entry,) = [entry for entry in await entries_of(there) if entry.id == intent.id]
    ids = ("0\ufffdQ", "half \ufffd", "\ufffd\\\\\ufffd", "\\u0000", "0")
    found = [[*await AuditLogReader(there).newest(EntryFilter(record_id=each), 2)] for each in ids]
    await there.close()
    back = await home.move(home.file("back.db"), empty)

    assert (copied.chain_problem, back.chain_problem) == (None, None)
    assert entry.tool == "a\0b"
    assert [[each.id for each in every] for every in found] == [[intent.id]] * 4 + [[]]


async def test_a_log_that_cannot_be_read_moves_with_what_it_is_searched_by(home: Home, empty: ServerAddress) -> None:
    store = await home.open(home.store)
    await store.audit.catch_up()
    await store.close()
    with closing(sqlite3.connect(home.store.file)) as raw:
        raw.execute("UPDATE audit_events SET canonical = CAST('no JSON' AS BLOB) WHERE sequence = 4")
        raw.execute("UPDATE audit_events SET canonical = x'ff' WHERE sequence = 6")
        raw.commit()
        before = raw.execute("SELECT sequence FROM audit_indexed").fetchone()

    copied = await home.move(empty)

    assert "4" in str(copied.chain_problem)
    there = await home.open(empty)
    async with there.database.reading() as connection:
        assert (await connection.execute(select(tables.audit_indexed.c.sequence))).scalar_one() >= before[0]
    await there.close()


async def test_a_log_that_was_edited_moves_as_it_is_and_that_is_told(home: Home, empty: ServerAddress) -> None:
    await (await home.open(home.store)).close()
    with closing(sqlite3.connect(home.store.file)) as raw:
        raw.execute("UPDATE audit_events SET principal = 'somebody else' WHERE sequence = 4")
        raw.commit()

    copied = await home.move(empty)

    assert "4" in str(copied.chain_problem)
    assert await opens(home, empty)

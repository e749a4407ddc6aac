"""The store opens what is ours, refuses the rest in one sentence, and writes durably in groups."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, insert, select, text, update

from orgserver.model.errors import KeyProblem, StoreError
from orgserver.store import migration, tables
from orgserver.store.database import Database
from orgserver.store.files import OLDER_SCHEMAS, SCHEMA
from orgserver.store.processes.locks import hold_lock
from orgserver.store.session import Store, open_store
from orgserver.store.transaction import PreparedStatement, Transaction
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault


async def test_the_first_use_makes_a_store_that_only_we_can_read(store: Store, store_file: Path) -> None:
    assert store_file.parent.stat().st_mode & 0o777 == 0o700
    for path in store_file.parent.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path.name
    assert {"orgserver.db", "orgserver.db.lock", "orgserver.db-wal"} <= {
        path.name for path in store_file.parent.iterdir()
    }
    assert store.id


async def test_the_names_of_a_new_store_and_its_folder_are_on_the_disk_before_it_is_used(
    tmp_path: Path, ring: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fsync

    def fsync(file: int) -> None:
        synced.append(os.fstat(file).st_ino)
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    file = tmp_path / "new" / "home" / "orgserver.db"

    store = await open_store(file, lambda _create: Vault([ring]))
    await store.close()

    assert {folder.stat().st_ino for folder in (tmp_path, tmp_path / "new", file.parent)} <= set(synced)


async def test_a_store_opens_again_with_its_key(opener: Callable, store_file: Path) -> None:
    first = await opener()
    await first.close()

    second = await opener()

    assert second.id == first.id
    await second.close()


async def test_the_writer_is_as_durable_as_sqlite_can_be(store: Store) -> None:
    def pragmas(tx: Transaction) -> tuple[object, ...]:
        names = ("journal_mode", "synchronous", "foreign_keys", "trusted_schema", "secure_delete")
        return tuple(tx.connection.execute(text(f"PRAGMA {name}")).scalar() for name in names)

    assert await store.database.write(pragmas) == ("wal", 2, 1, 0, 1)


async def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError, match="readonly|read-only|attempt to write"):
        async with store.database.reading() as connection:
            await connection.execute(update(tables.store).values(catalog_version=99))


async def test_a_wrong_master_key_is_one_sentence(opener: Callable, store_file: Path) -> None:
    await (await opener()).close()

    with pytest.raises(KeyProblem) as caught:
        await open_store(store_file, lambda _create: Vault([Key.new()]))

    assert str(caught.value) == "the master key is not the one this store was sealed with"


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be looked at " * 50, b"\x00" * 4096])
async def test_a_file_that_is_no_database_is_refused(store_file: Path, content: bytes, ring: Key) -> None:
    store_file.parent.mkdir(mode=0o700)
    store_file.write_bytes(content)

    with pytest.raises(StoreError) as caught:
        await open_store(store_file, lambda _create: Vault([ring]))

    assert "\n" not in str(caught.value)
    assert store_file.read_bytes() == content


async def test_the_database_of_another_program_is_refused(store_file: Path, ring: Key) -> None:
    store_file.parent.mkdir(mode=0o700)
    connection = sqlite3.connect(store_file)
    connection.execute("CREATE TABLE songs (title)")
    connection.close()

    with pytest.raises(StoreError, match="another program"):
        await open_store(store_file, lambda _create: Vault([ring]))


async def test_a_damaged_store_is_refused(opener: Callable, store_file: Path) -> None:
    await (await opener()).close()
    content = bytearray(store_file.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    store_file.write_bytes(content)

    with pytest.raises(StoreError):
        await opener()


async def test_a_store_newer_than_the_program_is_refused(opener: Callable, store_file: Path) -> None:
    await (await opener()).close()
    connection = sqlite3.connect(store_file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()

    with pytest.raises(StoreError, match="newer orgserver"):
        await opener()


async def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, ring: Key) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="cannot be used"):
        await open_store(tmp_path / "file" / "home" / "orgserver.db", lambda _create: Vault([ring]))


async def test_a_store_on_a_network_file_system_is_refused(
    tmp_path: Path, ring: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 0:21 / {tmp_path} rw,relatime shared:1 - nfs4 server:/export rw\n")
    read_text = Path.read_text

    def read(path: Path, *options: str) -> str:
        return read_text(mounts if path == Path("/proc/self/mountinfo") else path, *options)

    monkeypatch.setattr(Path, "read_text", read)

    with pytest.raises(StoreError, match="network file system"):
        await open_store(tmp_path / "orgserver.db", lambda _create: Vault([ring]))


async def test_one_bad_change_does_not_fail_its_neighbours(store: Store) -> None:
    ran: list[int] = []

    def good(tx: Transaction) -> int:
        tx.connection.execute(update(tables.store).values(catalog_version=tables.store.c.catalog_version + 1))
        ran.append(1)
        return 1

    def bad(tx: Transaction) -> int:
        tx.connection.execute(update(tables.store).values(catalog_version=100))
        raise ValueError("mine alone")

    results = await asyncio.gather(
        *(store.database.write(each) for each in [good, good, bad, good]), return_exceptions=True
    )

    assert [result for result in results if isinstance(result, int)] == [1, 1, 1]
    assert isinstance(results[2], ValueError)
    async with store.database.reading() as connection:
        assert (await connection.execute(select(tables.store.c.catalog_version))).scalar_one() == 4


async def test_a_cancelled_caller_leaves_its_change_in(store: Store) -> None:
    def change(tx: Transaction) -> None:
        tx.connection.execute(update(tables.store).values(catalog_version=50))

    task = asyncio.ensure_future(store.database.write(change))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.database.write(lambda _tx: None)

    async with store.database.reading() as connection:
        assert (await connection.execute(select(tables.store.c.catalog_version))).scalar_one() == 50


async def test_a_closed_store_says_so(opener: Callable) -> None:
    store = await opener()
    await store.close()

    with pytest.raises(StoreError, match="closed"):
        await store.database.write(lambda _tx: None)


async def test_two_processes_share_the_store_by_turns(store: Store, opener: Callable) -> None:
    other = await opener()

    def grow(tx: Transaction) -> None:
        tx.connection.execute(update(tables.store).values(catalog_version=tables.store.c.catalog_version + 1))

    await asyncio.gather(*(each.database.write(grow) for each in (store, other) * 50))

    async with store.database.reading() as connection:
        assert (await connection.execute(select(tables.store.c.catalog_version))).scalar_one() == 101
    await other.close()


async def test_what_comes_while_another_process_has_its_turn_goes_into_the_next_commit_together(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orgserver.store.writer.TURN_SECONDS", 5.0)  # a slow machine cuts no turn
    writer = store.database._writer
    groups: list[Transaction] = []
    with hold_lock(store.database.file):
        first = asyncio.ensure_future(store.database.write(groups.append))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while not writer._queue.empty():  # until the writer has taken it, and waits for the lock
                await asyncio.sleep(0.001)
        others = [asyncio.ensure_future(store.database.write(groups.append)) for _ in range(20)]
        await asyncio.sleep(0)
    await asyncio.gather(first, *others)

    assert len(groups) == 21
    assert len(set(map(id, groups))) == 1


async def test_what_the_callers_of_one_commit_write_next_goes_into_one_commit_however_long_they_take(
    store: Store,
) -> None:
    groups: list[list[Transaction]] = [[], []]

    async def write_twice() -> None:
        await store.database.write(groups[0].append)
        time.sleep(0.005)  # noqa: ASYNC251  # holds up the event loop, not the writer's thread
        await store.database.write(groups[1].append)

    with hold_lock(store.database.file):
        callers = [asyncio.ensure_future(write_twice()) for _ in range(8)]
        await asyncio.sleep(0)
    await asyncio.gather(*callers)

    assert [len(set(map(id, each))) for each in groups] == [1, 1]


async def test_a_statement_that_fails_says_so_without_the_values_it_was_given(store: Store) -> None:
    add = PreparedStatement(insert(tables.audit_pending))
    row = {"entry_id": "twice", "process_id": "a value of ours", "deadline": 0}

    with pytest.raises(StoreError) as failed:
        await store.database.write(lambda tx: [tx.execute(add, row) for _ in range(2)])
    await store.database.write(lambda tx: tx.execute(add, row, row | {"entry_id": "once"}))

    assert "UNIQUE" in str(failed.value)
    assert "a value of ours" not in f"{failed.value} {failed.value.__cause__!r} {failed.value.__context__!r}"
    async with store.database.reading() as connection:
        assert len((await connection.execute(select(tables.audit_pending))).all()) == 2


async def test_migrations_from_empty_match_the_models(tmp_path: Path) -> None:
    file = tmp_path / "orgserver.db"
    database = await Database.open(file)
    await database.close()

    engine = create_engine(f"sqlite+pysqlite:///{file}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), tables.metadata)
    engine.dispose()

    assert differences == []


def test_the_newest_schema_is_the_head_of_the_migrations() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migration.scripts()))
    scripts = ScriptDirectory.from_config(config)

    assert scripts.get_heads() == [SCHEMA]
    assert {script.revision for script in scripts.walk_revisions()} == {SCHEMA, *OLDER_SCHEMAS}

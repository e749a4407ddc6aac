"""Whether the holder of a lease lives is known at once, whatever its lease says."""

import asyncio
import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from orgserver.store.orgs import refreshes
from orgserver.store.processes.locks import FileProcessLock
from orgserver.store.session import Store
from tests.faults.locking import holding

MINUTE = 60_000_000


def file_of(database: Path, process_id: str) -> Path:
    return database.with_name(f"{database.name}.process-{process_id}")


async def taken(store: Store, holder: str, by: FileProcessLock) -> refreshes.Lease | str:
    return await store.database.write(lambda tx: refreshes.take_lease_in(tx, "row", holder, MINUTE, 7, by.is_alive))


async def test_a_living_process_keeps_its_lease_and_can_be_named(store: Store) -> None:
    one, two = (FileProcessLock(store.database.file, name) for name in ("one", "two"))
    one.take()
    mine = one.holder()
    assert isinstance(await taken(store, mine, one), refreshes.Lease)

    assert await taken(store, two.holder(), two) == mine
    found = two.process_of(mine)
    assert found is not None
    assert (found.pid, found.stopped) == (os.getpid(), False)
    one.release()


async def test_the_lease_of_a_killed_process_is_over_at_once_and_what_it_sent_stays_in_doubt(store: Store) -> None:
    two = FileProcessLock(store.database.file, "two")
    file = file_of(store.database.file, "dead")
    file.touch(0o600)
    with holding(file):
        dead = FileProcessLock(store.database.file, "dead").holder()
        assert isinstance(await taken(store, dead, two), refreshes.Lease)
        await store.database.write(lambda tx: refreshes.mark_sent_in(tx, "row", dead))
        assert await taken(store, two.holder(), two) == dead

    lease = await taken(store, two.holder(), two)

    assert isinstance(lease, refreshes.Lease)
    assert lease.doubted_since is not None
    assert not file.exists()


async def test_a_stopped_process_keeps_its_lease_and_is_named_as_stopped(store: Store) -> None:
    two = FileProcessLock(store.database.file, "two")
    file = file_of(store.database.file, "stopped")
    file.touch(0o600)
    with holding(file) as other:
        stopped = FileProcessLock(store.database.file, "stopped").holder()
        assert isinstance(await taken(store, stopped, two), refreshes.Lease)
        other.stop()

        assert await taken(store, two.holder(), two) == stopped
        async with asyncio.timeout(5):
            while (found := two.process_of(stopped)) is None or not found.stopped:
                await asyncio.sleep(0.01)
        assert found.pid == other.pid


async def test_a_holder_of_an_older_version_has_no_file_and_keeps_its_lease(store: Store) -> None:
    two = FileProcessLock(store.database.file, "two")
    await taken(store, "older/1", two)

    assert await taken(store, two.holder(), two) == "older/1"
    assert two.process_of("older/1") is None


def test_what_the_dead_left_is_removed_and_the_files_of_the_living_stay(tmp_path: Path) -> None:
    database = tmp_path / "orgserver.db"
    left, living = file_of(database, "left"), FileProcessLock(database, "living")
    left.touch()
    living.take()

    mine = FileProcessLock(database, "mine")
    mine.take()
    mine.take()

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "orgserver.db.process-living",
        "orgserver.db.process-mine",
    ]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    mine.release()
    living.release()
    assert not list(tmp_path.iterdir())


def test_whoever_cannot_look_lets_a_lease_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, other = (
        FileProcessLock(tmp_path / "orgserver.db", "one"),
        FileProcessLock(tmp_path / "orgserver.db", "two").holder(),
    )

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    with create_engine("sqlite://").connect() as connection:
        assert lock.is_alive(connection, other)

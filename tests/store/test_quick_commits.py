"""Who is alone has changes committed on the event loop, while that is quick; in every other case the thread does it."""

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from orgserver.model.errors import StoreError
from orgserver.store import tables
from orgserver.store.processes.locks import hold_lock
from orgserver.store.session import Store
from orgserver.store.transaction import PreparedStatement, Transaction
from orgserver.store.writes import quick_commits

_ADD = PreparedStatement(insert(tables.audit_pending))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_commits, "QUICK_SECONDS", 600.0)  # a slow machine makes none of them slow


def add(tx: Transaction, entry_id: str) -> bool:
    """A change that says whether the event loop's thread ran it."""
    tx.execute(_ADD, {"entry_id": entry_id, "process_id": "p", "deadline": 0})
    return threading.current_thread() is threading.main_thread()


async def write(store: Store, entry_id: str, *, is_alone: bool = True) -> bool:
    await let_thread_rest(store)
    return await store.database.write(lambda tx: add(tx, entry_id), is_alone=is_alone)


async def let_thread_rest(store: Store) -> None:
    """Until the thread no longer waits for what the last caller writes next."""
    while store.database._writer._is_awake:
        await asyncio.sleep(0)


async def become_quick(store: Store) -> None:
    """Write one after the other until the event loop commits."""
    async with asyncio.timeout(30):
        while not await store.database.write(
            lambda _tx: threading.current_thread() is threading.main_thread(), is_alone=True
        ):
            await let_thread_rest(store)


async def read_ids(store: Store) -> set[str]:
    async with store.database.reading() as connection:
        return set((await connection.execute(select(tables.audit_pending.c.entry_id))).scalars())


async def test_who_is_alone_writes_on_the_event_loop_and_who_is_not_in_the_thread(store: Store) -> None:
    assert not await write(store, "first")  # nobody knows yet how quick the disk is
    await become_quick(store)

    assert await write(store, "alone")
    assert not await write(store, "beside others", is_alone=False)
    assert await read_ids(store) == {"first", "alone", "beside others"}


async def test_after_a_slow_commit_the_thread_writes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await become_quick(store)
    monkeypatch.setattr(quick_commits, "QUICK_SECONDS", -1.0)

    by_loop = [await write(store, str(number)) for number in range(40)]

    assert by_loop == [True] + [False] * 39


async def test_after_a_pause_the_thread_writes_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await become_quick(store)
    monkeypatch.setattr(quick_commits, "_FRESH_SECONDS", -1.0)

    assert not await write(store, "later")


async def test_the_event_loop_does_not_wait_for_another_process(store: Store) -> None:
    await become_quick(store)
    with hold_lock(store.database.file):
        waiting = asyncio.ensure_future(write(store, "waiting"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()

    assert not await waiting


async def test_the_thread_writes_now_and_then_and_then_the_wal_is_written_back(store: Store, store_file: Path) -> None:
    await become_quick(store)
    by_loop = [await write(store, str(number)) for number in range(600)]
    wal = store_file.with_name("orgserver.db-wal")

    assert by_loop.count(False) >= 4
    assert wal.stat().st_size < 4 * 1_000 * 4_096


@pytest.mark.parametrize("failure", [ValueError("a defect"), StoreError("refused")])
async def test_a_change_that_fails_is_taken_back_and_the_next_goes_in(store: Store, failure: Exception) -> None:
    await become_quick(store)

    def fail(tx: Transaction) -> None:
        add(tx, "failed")
        raise failure

    with pytest.raises(type(failure), match=str(failure)):
        await store.database.write(fail, is_alone=True)

    await write(store, "next")
    assert await read_ids(store) == {"next"}


async def test_after_an_error_of_sqlite_the_thread_connects_anew(store: Store) -> None:
    await become_quick(store)
    writer = store.database._writer
    before = writer.connection.current

    with pytest.raises(StoreError, match="UNIQUE"):
        await store.database.write(lambda tx: [add(tx, "twice") for _ in range(2)], is_alone=True)

    assert not await write(store, "next")
    assert writer.connection.current is not before
    assert await read_ids(store) == {"next"}

"""A store that another process holds: callers are answered in time, and what was given up never goes in."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import StoreAway, StoreBusy
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store.files import lock_path
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.processes.locks import LockFile
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from tests.faults.locking import HOLDS_SQLITE, holding

FAR = 1 << 60


def act() -> Intent:
    return Intent(new_id(), "local:tester", "stdio", Action.CREATE, org="acme", object="Contact")


async def entries(store: Store) -> list[Outcome]:
    return [entry.outcome async for entry in AuditLogReader(store).entries(EntryFilter())]


async def test_a_change_that_waits_in_vain_is_refused_in_time_naming_the_holder_and_never_goes_in(store: Store) -> None:
    ran: list[int] = []
    with holding(lock_path(store.database.file)) as other:
        began = time.monotonic()
        with pytest.raises(StoreBusy, match=f"the store is busy: process {other.pid} holds it$"):
            await store.database.write(lambda _tx: ran.append(1), within=0.5)
        waited = time.monotonic() - began
        other.let_go()

    await store.database.write(lambda _tx: None)  # whatever was in front of this one has had its turn
    assert ran == []
    assert waited < 2


async def test_a_change_that_waits_for_a_holder_that_lets_go_goes_in(store: Store) -> None:
    with holding(lock_path(store.database.file)) as other:
        waiting = asyncio.ensure_future(store.database.write(lambda _tx: "in", within=20))
        async with asyncio.timeout(10):
            while store.database.longest_wait < 0.5:
                await asyncio.sleep(0.01)
        assert not waiting.done()
        other.let_go()

        assert await waiting == "in"


async def test_beside_a_stopped_holder_nobody_waits_for_long(store: Store) -> None:
    store.database.wait_as(Patience(seconds=60, stopped_seconds=0.5))
    with holding(lock_path(store.database.file)) as other:
        other.stop()
        began = time.monotonic()
        with pytest.raises(StoreBusy, match=f"process {other.pid} holds it and is stopped"):
            await store.database.write(lambda _tx: None)
        waited = time.monotonic() - began
        other.let_go()

    assert waited < 2
    assert await store.database.write(lambda _tx: "in") == "in"


async def test_beside_a_holder_that_is_merely_slow_everybody_waits_as_long_as_they_may(store: Store) -> None:
    store.database.wait_as(Patience(seconds=60, stopped_seconds=0.5))
    with holding(lock_path(store.database.file)):
        began = time.monotonic()
        with pytest.raises(StoreBusy, match="holds it$"):
            await store.database.write(lambda _tx: None, within=1.5)

        assert time.monotonic() - began > 1.4


async def test_an_intent_that_was_given_up_is_not_in_the_log_and_nothing_was_sent(store: Store) -> None:
    with holding(lock_path(store.database.file)) as other:
        with pytest.raises(StoreAway) as caught:
            await store.audit.begin(act(), deadline=FAR, catalog_version=1, within=0.3)
        other.let_go()

    assert (str(caught.value), caught.value.outcome, caught.value.retryable) == (
        f"the store is busy: process {other.pid} holds it", "not_sent", True,
    )  # fmt: skip
    assert caught.value.code == "STORE_BUSY"
    await store.audit.record(act(), Completion(Outcome.DENIED))
    assert await entries(store) == [Outcome.DENIED]


async def test_an_intent_that_goes_in_after_its_caller_was_refused_ends_as_not_sent(store: Store) -> None:
    """The writer had begun it: a disk that does not answer."""
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    slow: list[bool] = [True]

    def before(_tx: Transaction) -> bool:
        if slow:
            slow.clear()
            loop.call_soon_threadsafe(begun.set)
            time.sleep(1)  # what a disk does to a commit
        return True

    with pytest.raises(
        StoreAway, match="the store does not answer: its disk or server is slow, or another process holds it"
    ):
        await store.audit.begin(act(), deadline=FAR, catalog_version=1, spend=before, within=0.3)
    assert begun.is_set()
    await store.database.write(lambda _tx: None)

    await store.audit.record(act(), Completion(Outcome.DENIED))

    assert sorted(await entries(store)) == [Outcome.DENIED, Outcome.NOT_SENT]


async def test_an_outcome_that_was_given_up_is_written_before_the_next_intent(store: Store) -> None:
    one = act()
    await store.audit.begin(one, deadline=FAR, catalog_version=1)
    with holding(lock_path(store.database.file)) as other:
        with pytest.raises(StoreBusy, match=f"process {other.pid} holds it"):
            await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED), within=0.3)
        other.let_go()

    await store.audit.begin(act(), deadline=FAR, catalog_version=1)

    assert sorted(await entries(store)) == [Outcome.PENDING, Outcome.SUCCEEDED]


async def test_a_stranger_who_holds_sqlites_own_lock_is_named_and_makes_nobody_wait_for_long(store: Store) -> None:
    await store.database.write(lambda _tx: None)
    with holding(store.database.file, HOLDS_SQLITE) as other:
        began = time.monotonic()
        with pytest.raises(StoreBusy, match=f"the store is busy: process {other.pid} holds it$"):
            await store.database.write(lambda tx: tx.connection.execute(text("DELETE FROM leases")))
        waited = time.monotonic() - began
        other.let_go()

    assert waited < 2.5
    assert await store.database.write(lambda _tx: "in") == "in"


async def test_opening_beside_a_stranger_who_holds_sqlites_own_lock_names_it(
    store: Store, opener: Callable, store_file: Path
) -> None:
    await store.database.write(lambda _tx: None)
    with holding(store.database.file, HOLDS_SQLITE) as other:
        other.stop()
        with pytest.raises(StoreBusy, match=f"the store is busy: process {other.pid} holds it and is stopped$"):
            await opener()
        other.let_go()

    await (await opener()).close()


async def test_opening_beside_a_holder_says_so_and_gives_up(opener: Callable, store_file: Path) -> None:
    await (await opener()).close()
    told: list[str] = []
    with holding(lock_path(store_file)) as other:
        with pytest.raises(StoreBusy, match=f"process {other.pid} holds it"):
            await opener(patience=Patience(seconds=2.5, tell=told.append))

        assert told == [f"waiting for process {other.pid} to let go of the store, for 2.5 s at most"]


async def test_opening_beside_a_holder_that_lets_go_goes_on(opener: Callable, store_file: Path) -> None:
    await (await opener()).close()
    with holding(lock_path(store_file)) as other:
        opening = asyncio.ensure_future(opener(patience=Patience(seconds=30)))
        asyncio.get_running_loop().call_later(0.5, other.let_go)
        store = await opening

    await store.close()


async def test_closing_beside_a_holder_takes_a_moment(opener: Callable, store_file: Path) -> None:
    store = await opener()
    await store.audit.begin(act(), deadline=FAR, catalog_version=1)  # so that there is something to take back
    async with store.database.reading() as connection:
        await connection.execute(text("SELECT 1"))
    with holding(lock_path(store_file)):
        began = time.monotonic()
        await store.close()

        assert time.monotonic() - began < 4


async def test_scanning_beside_a_holder_is_not_held_up(store: Store) -> None:
    with holding(lock_path(store.database.file)):
        began = time.monotonic()
        assert await store.database.scan(lambda connection: connection.execute(text("SELECT 1")).scalar()) == 1

        assert time.monotonic() - began < 2


def test_the_holder_is_known_by_what_it_wrote_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    lock = LockFile(tmp_path / "a.lock")
    assert lock.take_now()

    assert lock_holders.holder_of(lock.path, tmp_path / "no such list") == lock_holders.Holder(os.getpid())
    lock.close()


def test_a_process_id_that_was_used_again_is_not_blamed(tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_text(f"{os.getpid()} 12345\n")

    assert lock_holders.holder_of(tmp_path / "a.lock", tmp_path / "no such list") is None

"""Leases on a server: whose session lives keeps them, whose has ended loses them, but never under a request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.store.orgs import refreshes
from orgserver.store.orgs.refreshes import Lease
from orgserver.store.transaction import Transaction
from tests.faults.store_places import url_of
from tests.store_server import StoreServer

LIFE, ANSWER = 60_000_000, 35_000_000


@pytest.fixture
async def two(store_server: StoreServer, store_database: str, tmp_path: Path) -> AsyncIterator[tuple[App, App]]:
    """Two servers on one store."""
    settings = {"home": tmp_path / "home", "database_url": url_of(store_server, store_database)}
    async with open_app(read_settings(settings, {})) as one, open_app(read_settings(settings, {})) as other:
        yield one, other


def later(seconds: float, change: Callable[[Transaction], Any]) -> Callable[[Transaction], Any]:
    """The same change, so much later."""

    def run(tx: Transaction) -> Any:
        tx.now += int(seconds * 1_000_000)
        return change(tx)

    return run


async def take(app: App, holder: str, after: float = 0.0) -> Lease | str:
    def change(tx: Transaction) -> Lease | str:
        lock = app.store.process_lock
        lock.take(tx.connection)
        return refreshes.take_lease_in(tx, "row", holder, LIFE, 7, lock.is_alive, ANSWER)

    return await app.store.database.write(later(after, change))


async def send(app: App, holder: str) -> None:
    await app.store.database.write(lambda tx: refreshes.mark_sent_in(tx, "row", holder))


async def end_sessions(server: StoreServer, database: str) -> None:
    """End those of both; whoever writes next makes its own again."""
    await asyncio.to_thread(server.terminate_backends, database)


async def test_a_lease_is_its_holder_s_while_its_session_lives(two: tuple[App, App]) -> None:
    one, other = two
    mine, theirs = one.store.process_lock.holder(), other.store.process_lock.holder()

    assert isinstance(await take(one, mine), Lease)
    assert await take(other, theirs) == mine
    assert isinstance(await take(other, theirs, after=61), Lease)


async def test_an_ended_session_frees_a_lease_at_once_when_nothing_was_sent(
    two: tuple[App, App], store_server: StoreServer, store_database: str
) -> None:
    one, other = two
    assert isinstance(await take(one, one.store.process_lock.holder()), Lease)
    await end_sessions(store_server, store_database)

    taken = await take(other, other.store.process_lock.holder())

    assert isinstance(taken, Lease)
    assert taken.doubted_since is None


async def test_a_lease_under_a_request_is_kept_until_no_answer_can_come_and_is_in_doubt_then(
    two: tuple[App, App], store_server: StoreServer, store_database: str
) -> None:
    one, other = two
    mine, theirs = one.store.process_lock.holder(), other.store.process_lock.holder()
    assert isinstance(await take(one, mine), Lease)
    await send(one, mine)
    await end_sessions(store_server, store_database)  # while its process lives, and waits for an answer

    assert await take(other, theirs) == mine
    assert await take(other, theirs, after=34) == mine
    taken = await take(other, theirs, after=36)

    assert isinstance(taken, Lease)
    assert taken.doubted_since is not None


async def test_who_lost_its_session_shows_that_it_lives_again_before_its_next_lease(
    two: tuple[App, App], store_server: StoreServer, store_database: str
) -> None:
    one, other = two
    await take(one, one.store.process_lock.holder())
    await end_sessions(store_server, store_database)

    again = one.store.process_lock.holder()
    assert isinstance(await take(one, again, after=61), Lease)

    assert await take(other, other.store.process_lock.holder(), after=62) == again

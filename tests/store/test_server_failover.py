"""A store whose server is away, restarted, read-only, or has gone back: what calls meet, and what goes on afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import StoreAway
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from tests.faults.standby import replicated_server
from tests.faults.store_places import own_server, url_of
from tests.store_server import USER, StoreServer

FAR = 1 << 60
SOON = 20.0


@pytest.fixture
async def app(store_server: StoreServer, store_database: str, tmp_path: Path) -> AsyncIterator[App]:
    settings = {"home": tmp_path / "home", "database_url": url_of(store_server, store_database)}
    async with open_app(read_settings(settings, {})) as app:
        yield app


def intent() -> Intent:
    return Intent(new_id(), "local:test", "stdio", Action.CREATE, org="acme", object="Contact")


async def begin(app: App) -> Intent:
    one = intent()
    begun = await app.store.audit.begin(one, deadline=FAR, catalog_version=1)
    assert begun.verdict == "begun"
    return one


async def finish(app: App, one: Intent) -> bool:
    return await app.store.audit.finish(one.id, Completion(Outcome.SUCCEEDED))


async def begin_when_it_is_back(app: App) -> Intent:
    """Begin as soon as the store takes it."""
    until = time.monotonic() + SOON
    while True:
        try:
            return await begin(app)
        except StoreAway:
            assert time.monotonic() < until, "the store's server is back, and nothing is taken"
            await asyncio.sleep(0.05)


async def check_record(app: App, entries: int) -> None:
    found = await AuditLogReader(app.store).verify()
    assert (found.problem, found.entries) == (None, entries)
    async with app.store.database.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM audit_pending"))).scalar_one() == 0


async def test_connections_that_the_server_ended_are_made_again_and_nobody_notices(
    app: App, store_server: StoreServer, store_database: str
) -> None:
    await finish(app, await begin(app))
    async with app.store.database.reading() as connection:
        await connection.execute(text("SELECT 1"))

    one = await begin(app)
    assert await asyncio.to_thread(store_server.terminate_backends, store_database)
    assert await finish(app, one)

    await asyncio.to_thread(store_server.terminate_backends, store_database)
    await check_record(app, 2)


async def test_while_the_server_takes_no_writes_calls_are_not_sent_and_outcomes_wait(
    app: App, store_server: StoreServer, store_database: str
) -> None:
    one = await begin(app)
    read_only = f'ALTER DATABASE "{store_database}" SET default_transaction_read_only'
    await asyncio.to_thread(store_server.ask, "postgres", f"{read_only} = on")
    await asyncio.to_thread(store_server.terminate_backends, store_database)

    assert not await finish(app, one)
    with pytest.raises(StoreAway) as refused:
        await begin(app)
    assert "nothing was sent" in str(refused.value)
    assert "read-only" in str(refused.value.hint)

    await asyncio.to_thread(store_server.ask, "postgres", f'ALTER DATABASE "{store_database}" RESET ALL')
    await asyncio.to_thread(store_server.terminate_backends, store_database)
    await finish(app, await begin_when_it_is_back(app))
    await check_record(app, 2)


@pytest.mark.timeout(120)
async def test_a_server_that_dies_and_comes_back_costs_only_the_calls_in_between(tmp_path: Path) -> None:
    async with own_server() as server:
        settings = {"home": tmp_path / "home", "database_url": url_of(server, await asyncio.to_thread(server.database))}
        async with open_app(read_settings(settings, {})) as app:
            one = await begin(app)
            await asyncio.to_thread(server.kill)

            assert not await finish(app, one)
            began = time.monotonic()
            with pytest.raises(StoreAway, match="nothing was sent"):
                await begin(app)
            assert time.monotonic() - began < 2.0  # that it is away is known

            await asyncio.to_thread(server.start)
            await finish(app, await begin_when_it_is_back(app))
            await check_record(app, 2)


async def test_a_store_that_lacks_what_was_committed_is_refused_in_one_sentence(
    app: App, store_server: StoreServer, store_database: str
) -> None:
    await finish(app, await begin(app))
    earlier = await asyncio.to_thread(copy_aside, store_server, store_database)
    await finish(app, await begin(app))
    await asyncio.to_thread(put_in_place, store_server, earlier, store_database)

    for _ in range(2):
        with pytest.raises(StoreAway) as refused:
            await begin(app)
        assert "the store went back: it lacks entries that were committed before" in str(refused.value.hint)


async def test_a_store_that_was_put_in_place_whole_is_gone_on_with(
    app: App, store_server: StoreServer, store_database: str
) -> None:
    await finish(app, await begin(app))
    same = await asyncio.to_thread(copy_aside, store_server, store_database)
    await asyncio.to_thread(put_in_place, store_server, same, store_database)

    await finish(app, await begin_when_it_is_back(app))
    await check_record(app, 2)


@pytest.mark.timeout(120)
async def test_a_standby_that_had_every_commit_takes_over_and_nothing_is_lost_or_there_twice(tmp_path: Path) -> None:
    async with (
        replicated_server() as (first, standby),
        failing_over(first, standby, tmp_path) as app,
    ):
        done = [await begin(app) for _ in range(3)]
        assert await finish(app, done[0])
        await asyncio.to_thread(first.kill)

        assert not await finish(app, done[1])
        with pytest.raises(StoreAway, match="nothing was sent"):  # the standby takes no writes yet
            await begin(app)

        await asyncio.to_thread(standby.promote)
        await finish(app, await begin_when_it_is_back(app))
        await finish(app, done[2])
        await check_record(app, 4)


@asynccontextmanager
async def failing_over(first: StoreServer, standby: StoreServer, folder: Path) -> AsyncIterator[App]:
    """A store whose address names both."""
    name = await asyncio.to_thread(first.database)
    hosts = f"host=127.0.0.1:{first.port}&host=127.0.0.1:{standby.port}"
    settings = {"home": folder / "home", "database_url": f"postgresql+asyncpg://{USER}@/{name}?{hosts}"}
    async with open_app(read_settings(settings, {})) as app:
        yield app


def copy_aside(server: StoreServer, database: str) -> str:
    """A copy of a database as it is now, as a standby may have it that takes over too early."""
    server.terminate_backends(database)
    return server.database(database)


def put_in_place(server: StoreServer, copy: str, database: str) -> None:
    server.drop(database)
    server.ask("postgres", f'ALTER DATABASE "{copy}" RENAME TO "{database}"')

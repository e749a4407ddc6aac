"""A COMMIT whose answer is lost is looked up: done once, whatever became of it, and answered as it came out."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import StoreAway
from orgserver.model.names import new_id
from orgserver.store import tables
from orgserver.store.engines import server_connections
from orgserver.store.engines.lost_commits import CommitMarks
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.transaction import Transaction
from tests.faults.commit_proxy import CommitProxy, commit_proxy
from tests.faults.lost_commits import lost_commits
from tests.faults.store_places import StorePlace, url_of
from tests.store_server import StoreServer

SEED = 18


@pytest.fixture
def place(store_server: StoreServer, store_database: str) -> StorePlace:
    return StorePlace(url_of(store_server, store_database), store_server)


@pytest.mark.timeout(120)
async def test_each_call_and_each_change_is_there_once_though_its_commit_got_no_answer(place: StorePlace) -> None:
    done = await lost_commits(12, 12, seed=SEED, place=place)

    assert done.holds, str(done)
    assert done.lost.total() == 24
    assert all(done.lost[kind] for kind in ("request", "reply", "late")), str(done)


@pytest.mark.timeout(120)
async def test_without_the_look_some_changes_would_be_made_twice(
    place: StorePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CommitMarks, "was_committed_in", lambda *_: False)

    done = await lost_commits(0, 8, seed=SEED, place=place)

    assert done.count > done.counted, str(done)


@pytest.mark.timeout(60)
async def test_no_commit_lost_and_nothing_is_looked_up(place: StorePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    monkeypatch.setattr(CommitMarks, "was_committed_in", lambda *given: looks.append(given))

    done = await lost_commits(0, 0, seed=SEED, place=place)

    assert done.holds, str(done)
    assert not looks


@asynccontextmanager
async def cut_off_at_the_next_commit(
    place: StorePlace, home: Path, **settings: Path
) -> AsyncIterator[tuple[App, CommitProxy]]:
    """A store whose next COMMIT is done, and after that its server is away."""
    assert place.server is not None
    assert place.url is not None
    async with commit_proxy(place.server.port, seed=SEED, share=1.0) as proxy:
        url = url_of(place.server, place.url.rpartition("/")[2], proxy.port)
        async with open_app(read_settings({"home": home, "database_url": url, **settings}, {})) as app:
            proxy.losses, proxy.closes, proxy.left = ("reply",), True, 1
            yield app, proxy


async def give_up_when_cut_off(app: App, proxy: CommitProxy, one: Intent) -> None:
    """Begin, and have no patience any more as soon as the COMMIT is lost."""
    beginning = asyncio.create_task(app.store.audit.begin(one, deadline=1 << 60, catalog_version=1))
    while not proxy.is_closed:
        await asyncio.sleep(0.01)
    assert not beginning.done()  # nobody knows yet
    app.store.database.wait_as(Patience(seconds=0.1))
    with pytest.raises(StoreAway):
        await beginning
    app.store.database.wait_as(Patience())


async def outcomes(app: App) -> list[Outcome | None]:
    return [entry.outcome async for entry in app.audit_log.entries(EntryFilter())]


@pytest.mark.timeout(60)
async def test_an_intent_that_went_in_unheard_is_not_sent_on_record(place: StorePlace, tmp_path: Path) -> None:
    async with cut_off_at_the_next_commit(place, tmp_path / "home") as (app, proxy):
        one = Intent(new_id(), "local:test", "stdio", Action.CREATE, org="acme", object="Contact")
        await give_up_when_cut_off(app, proxy, one)
        app.store.database.wait_as(Patience(seconds=600.0))  # nobody here gives up: who comes meanwhile hears why
        with pytest.raises(StoreAway, match="cannot be written") as raised:
            await app.store.audit.record(one, Completion(Outcome.SUCCEEDED))
        assert "does not answer" in str(raised.value.hint)
        app.store.database.wait_as(Patience())

        proxy.is_closed = False
        async with asyncio.timeout(20):
            while await app.store.database.write(_count_pending) or await outcomes(app) != [Outcome.NOT_SENT]:
                await app.store.audit.beat()
                await asyncio.sleep(0.05)


@pytest.mark.timeout(60)
async def test_an_outcome_that_went_in_unheard_is_there_once(place: StorePlace, tmp_path: Path) -> None:
    async with cut_off_at_the_next_commit(place, tmp_path / "home") as (app, proxy):
        proxy.left = 0
        one = Intent(new_id(), "local:test", "stdio", Action.CREATE, org="acme", object="Contact")
        await app.store.audit.begin(one, deadline=1 << 60, catalog_version=1)
        proxy.left = 1
        finishing = asyncio.create_task(app.store.audit.finish(one.id, Completion(Outcome.SUCCEEDED)))
        while not proxy.is_closed:
            await asyncio.sleep(0.01)
        assert not finishing.done()  # nobody knows yet

        proxy.is_closed = False
        assert await finishing
        assert await outcomes(app) == [Outcome.SUCCEEDED]


@pytest.mark.timeout(60)
async def test_a_process_ends_though_it_never_learns_whether_a_commit_was_made(
    place: StorePlace, tmp_path: Path
) -> None:
    before = {*threading.enumerate()}
    async with cut_off_at_the_next_commit(place, tmp_path / "home") as (app, proxy):
        one = Intent(new_id(), "local:test", "stdio", Action.CREATE, org="acme", object="Contact")
        await give_up_when_cut_off(app, proxy, one)
        (writer,) = (each for each in {*threading.enumerate()} - before if each.name == "orgserver-writer")
    await asyncio.to_thread(writer.join)

    assert proxy.is_closed  # nobody has let it look


@pytest.mark.timeout(60)
async def test_a_commit_that_can_never_be_looked_up_is_given_up_with_the_reason(
    place: StorePlace, tmp_path: Path
) -> None:
    async with cut_off_at_the_next_commit(place, tmp_path / "home") as (app, proxy):
        assert place.server is not None
        assert place.url is not None
        name = place.url.rpartition("/")[2]
        one = Intent(new_id(), "local:test", "stdio", Action.CREATE, org="acme", object="Contact")
        beginning = asyncio.create_task(app.store.audit.begin(one, deadline=1 << 60, catalog_version=1))
        while not proxy.is_closed:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(place.server.ask, name, "ALTER TABLE audit_head RENAME TO audit_head_elsewhere")

        proxy.is_closed = False
        with pytest.raises(StoreAway) as raised:
            await beginning
        assert "lacks a table of ours" in str(raised.value.hint)

        await asyncio.to_thread(place.server.ask, name, "ALTER TABLE audit_head_elsewhere RENAME TO audit_head")
        assert (await outcomes(app))[0] in (
            Outcome.PENDING,
            Outcome.NOT_SENT,
        )  # it went in, and nothing was sent after it


@pytest.mark.timeout(60)
async def test_a_commit_over_a_line_that_fell_silent_is_looked_up_over_another(
    place: StorePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_connections, "COMMAND_SECONDS", 1.0)
    async with cut_off_at_the_next_commit(place, tmp_path / "home") as (app, proxy):
        proxy.losses, proxy.closes = ("silence",), False
        one = Intent(new_id(), "local:test", "stdio", Action.CREATE, org="acme", object="Contact")

        async with asyncio.timeout(20):
            await app.store.audit.record(one, Completion(Outcome.SUCCEEDED))

        assert await outcomes(app) == [Outcome.SUCCEEDED]
        assert proxy.lost == {"silence": 1}


@pytest.mark.timeout(60)
async def test_a_commit_is_looked_up_though_the_password_is_away_for_a_while(place: StorePlace, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("not asked for")
    away = cut_off_at_the_next_commit(place, tmp_path / "home", database_password_file=password)
    async with away as (app, proxy):
        proxy.closes = False
        password.rename(tmp_path / "elsewhere")
        one, other = (Intent(new_id(), "local:test", "stdio", Action.CREATE, org="acme") for _ in range(2))
        recording = asyncio.create_task(app.store.audit.record(one, Completion(Outcome.SUCCEEDED)))
        async with asyncio.timeout(20):
            while not proxy.lost:
                await asyncio.sleep(0.01)
            with pytest.raises(StoreAway):  # who comes meanwhile hears at once
                await app.store.audit.record(other, Completion(Outcome.SUCCEEDED))
            assert not recording.done()

            (tmp_path / "elsewhere").rename(password)
            await recording
        assert await outcomes(app) == [Outcome.SUCCEEDED]


def _count_pending(tx: Transaction) -> int:
    return len(tx.connection.execute(select(tables.audit_pending.c.entry_id)).all())

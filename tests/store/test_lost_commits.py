"""A COMMIT whose answer is lost is looked up: done once, whatever became of it, and answered as it came out."""

import pytest

from orgserver.store.engines.lost_commits import CommitMarks
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

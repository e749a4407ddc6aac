"""The quick sizes on a PostgreSQL server: replicas killed, and the server struck, under load; storms of refreshes."""

from collections.abc import AsyncIterator

import pytest

from .__main__ import NAMED
from .kills import kills
from .server_kills import STRIKES, server_kills
from .store_places import StorePlace, own_server, place_of
from .storm import storm

SEED = 18


@pytest.fixture
async def place() -> AsyncIterator[StorePlace]:
    """A server of its own: it is killed."""
    async with own_server() as server, place_of(server) as place:
        yield place


@pytest.mark.timeout(180)
async def test_replicas_and_their_server_struck_under_load_leave_everything_explained(place: StorePlace) -> None:
    done = await server_kills(2 * len(STRIKES), seed=SEED, place=place)

    print(f"seed {SEED}: {done}")
    assert done.holds, str(done)


@pytest.mark.timeout(180)
async def test_a_storm_over_four_replicas_refreshes_once_at_each_expiry_also_over_a_socket() -> None:
    async with own_server() as server, place_of(server, by_socket=True) as place:
        done = await storm(processes=4, callers=8, expiries=6, seed=SEED, place=place)

    assert done.holds, str(done)


@pytest.mark.timeout(180)
async def test_a_replica_killed_at_a_named_point_loses_an_org_only_between_answer_and_commit(place: StorePlace) -> None:
    done = await kills(list(NAMED), seed=SEED, place=place)

    assert done.holds, str(done)
    assert done.in_the_window == 3, str(done)  # sent and worked on, replied, committing

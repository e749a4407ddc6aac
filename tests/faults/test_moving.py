"""The quick size: a move that is killed leaves one store at most, and is finished by running it again."""

import pytest

from tests.store_server import StoreServer

from .moving import moving
from .store_places import StorePlace

SEED = 44
POINTS = ("page", "before mark_moved", "after mark_moved", "after publish")


@pytest.mark.timeout(180)
async def test_a_move_that_is_killed_leaves_one_store_at_most_and_goes_on(store_server: StoreServer) -> None:
    done = await moving(POINTS, seed=SEED, place=StorePlace("", store_server))

    print(done)
    assert done.holds, str(done)
    assert done.kills == {"source": 2, "neither": 1, "target": 1}

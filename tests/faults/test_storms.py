"""The quick sizes: storms of refreshes, and holders of leases that are killed."""

import pytest

from .__main__ import NAMED
from .kills import kills
from .many import many
from .person_storm import person_storm
from .storm import storm

SEED = 20


@pytest.mark.timeout(120)
async def test_a_storm_of_callers_in_four_processes_refreshes_once_at_each_expiry() -> None:
    done = await storm(processes=4, callers=64, expiries=20, seed=SEED)

    assert done.holds, str(done)


@pytest.mark.timeout(120)
async def test_the_sessions_of_many_people_expire_at_once_and_each_login_is_refreshed_once() -> None:
    done = await person_storm(people=10, processes=4, expiries=5, seed=SEED)

    assert done.holds, str(done)


@pytest.mark.parametrize("own", [False, True], ids=["the login of all", "one's own"])
@pytest.mark.timeout(120)
async def test_a_holder_killed_at_a_named_point_loses_a_login_only_between_answer_and_commit(*, own: bool) -> None:
    done = await kills(list(NAMED), seed=SEED, own=own)

    assert done.holds, str(done)
    assert done.in_the_window == 3, str(done)  # sent and worked on, replied, committing


@pytest.mark.timeout(240)
async def test_a_holder_killed_at_random_loses_an_org_only_between_answer_and_commit() -> None:
    done = await kills(["random"] * 20, seed=SEED)

    assert done.holds, str(done)


@pytest.mark.timeout(240)
async def test_many_orgs_that_expire_at_once_are_refreshed_a_few_at_a_time() -> None:
    done = await many(100)

    assert done.holds, str(done)

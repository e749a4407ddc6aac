"""Nobody acts with another's login, whatever happens in four processes at once."""

import random

import pytest

from .connections import connections


@pytest.mark.timeout(300)
async def test_interleavings_of_people_with_their_own_logins_equal_the_model_and_none_crosses() -> None:
    figures = await connections(120, seed=random.randrange(1_000_000))

    assert figures.wrong == []
    assert figures.holds, str(figures)

"""The newest entries of a span of time are the same whichever way they are looked up, even when the clock was set back."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.store.audit import reader
from orgserver.store.transaction import to_datetime

pytestmark = pytest.mark.both_stores

TIMES = [10, 20, 30, 40, 15, 25, 35, 50, 5, 60]
"""In the order of the log: the clock was set back twice."""


def bounds() -> list[int | None]:
    return [None, 0, 5, 15, 16, 35, 50, 61]


@pytest.mark.parametrize("few", [1, 3, 6, 20_000])
async def test_the_newest_of_a_span_are_found_whatever_the_clock_did(opener: Callable[..., Any], few: int) -> None:
    now = TIMES[0]
    store = await opener(clock=lambda: now * 1_000_000)
    for time in TIMES:
        now = time
        act = Intent(new_id(), "me", "stdio", Action.READ, object=str(time))
        await store.audit.record(act, Completion(Outcome.SUCCEEDED))
    await store.audit.catch_up()

    for since, until in itertools.product(bounds(), bounds()):
        wanted = EntryFilter(
            since=to_datetime(since * 1_000_000) if since is not None else None,
            until=to_datetime(until * 1_000_000) if until is not None else None,
        )
        expected = [time for time in reversed(TIMES) if (since or 0) <= time < (100 if until is None else until)]

        async with store.database.reading() as connection:
            every = await reader.read_newest(connection, wanted, 50, few)
            two = await reader.read_newest(connection, wanted, 2, few)
        assert [int(entry.object or 0) for entry in every] == expected
        assert [int(entry.object or 0) for entry in two] == expected[:2]
    await store.close()

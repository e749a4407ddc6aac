"""The quick size: replies as dear as they can be, beside large honest ones, ten at once."""

import pytest

from .bodies import MOST_BYTES, MOST_MB, bodies
from .hostile import HONEST

HOSTILE = {
    "empty lists, 5 MiB": "error REPLY_TOO_LARGE",
    "as many tiny records as pass": "50 records",
    "as long a text with an emoji as passes": "1 records and warnings",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", HOSTILE)
async def test_ten_replies_that_cost_as_much_as_they_can_are_refused_or_cut_in_bounded_memory(kind: str) -> None:
    took = (await bodies([kind], [10], clocks=False)).kinds[kind, 10]

    assert took.said == {HOSTILE[kind]: 10}
    assert took.peak_mb <= MOST_MB
    assert took.largest <= MOST_BYTES


@pytest.mark.timeout(600)
async def test_ten_large_honest_replies_are_answered_in_bounded_memory() -> None:
    done = await bodies(list(HONEST), [10], clocks=False)

    assert [list(took.said) for took in done.kinds.values()] == [
        ["19 records"], ["4 records"], ["246 fields"], ["100 objects"],
    ]  # fmt: skip
    assert done.holds, str(done)

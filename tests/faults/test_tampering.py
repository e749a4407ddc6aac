"""The quick size: random tamperings are found where they begin, and stores that nobody touched raise no alarm."""

import pytest

from .tampering import tamperings

SEED = 5


@pytest.mark.timeout(120)
async def test_every_random_tampering_is_found_at_its_first_sequence_and_no_clean_store_raises_an_alarm() -> None:
    done = await tamperings(2_000, 40, seed=SEED)

    print(f"seed {SEED}: {done}")
    assert done.holds, str(done)
    assert len(done.kinds) == 18

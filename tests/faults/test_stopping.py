"""The quick size: a server that is stopped under load makes no other wait."""

import pytest

from .stopping import stopped

SEED = 25


@pytest.mark.timeout(180)
async def test_beside_a_server_that_is_stopped_under_load_every_call_is_answered_in_time() -> None:
    done = await stopped(25, seed=SEED)

    print(f"seed {SEED}: {done}")
    assert done.holds, str(done)

"""The quick size: with faults all the while, packed replies and plain ones, what the log says is what the orgs did."""

import pytest

from .soak import soak

SEED = 40


@pytest.mark.timeout(120)
@pytest.mark.parametrize("plain", [False, True], ids=["packed", "plain"])
async def test_servers_under_faults_hold_no_more_and_log_and_orgs_agree(plain: bool) -> None:
    done = await soak(5, seed=SEED, plain=plain)

    print(f"seed {SEED}: {done}")
    assert done.holds, str(done)

"""A running server that loses what it lives on sends nothing without an intent, says so, and serves again afterwards."""

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("limits of a running process are set with prlimit", allow_module_level=True)

from .starving import starving


@pytest.mark.timeout(120)
async def test_a_server_without_disk_descriptors_lock_or_store_sends_nothing_unrecorded_and_recovers() -> None:
    done = await starving()

    print(done)
    assert done.holds, str(done)
    refused = {one.fault: set(one.refused) for one in done.each}
    assert refused["disk full"] == {"STORE_UNAVAILABLE", "OUTCOME_NOT_RECORDED"}
    assert refused["database locked"] == {"STORE_BUSY"}
    assert refused["store gone"] == {"STORE_UNAVAILABLE"}

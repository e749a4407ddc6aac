"""The quick size: servers killed under load leave nothing unexplained."""

import pytest

from .servers import servers

SEED = 30


@pytest.mark.timeout(120)
async def test_servers_killed_under_load_leave_every_answer_every_change_and_every_intent_explained() -> None:
    done = await servers(30, seed=SEED)

    print(f"seed {SEED}: {done}")
    assert done.holds, str(done)

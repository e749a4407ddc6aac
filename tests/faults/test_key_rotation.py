"""Servers answer every call while the master key changes, and a rotation that is killed is finished by the next."""

from pathlib import Path

import pytest

from tests.faults.rotation import run

SEED = 7


@pytest.mark.timeout(300)
async def test_calls_go_on_while_keys_change_and_rotations_are_killed(tmp_path: Path) -> None:
    figures = await run(tmp_path / "home", orgs=1_000, number=2, kills=5, seed=SEED)

    print(f"seed {SEED}: {figures}")
    assert figures.missed(bound=float("inf")) == []
    assert figures.kills == 5
    assert min(figures.calls, figures.replays) > 20

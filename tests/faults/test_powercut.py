"""The quick size: after a power cut everything that was acknowledged is there, whole, and the store goes on."""

import random
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("SQLite's own functions are looked up as POSIX systems do", allow_module_level=True)

from .disk import SECTOR, Disk, Event, Made, NamesSynced, Synced, Written
from .powercut import powercuts

SEED = 70


@pytest.mark.timeout(120)
async def test_a_power_cut_loses_nothing_that_was_acknowledged_and_the_judge_would_see_it() -> None:
    done = await powercuts(100, 20, seed=SEED)

    print(f"seed {SEED}: {done}")
    assert done.product.holds, str(done)
    assert done.control.with_losses >= 5, f"without a sync for each commit entries must be lost: {done.control}"


def test_a_cut_keeps_what_was_synced_and_tears_the_rest_only_where_it_was_written() -> None:
    chance = random.Random(SEED)
    size = 4 * SECTOR
    record: list[Event] = [Made("a", 1), Written(1, 0, b"a" * size), Synced(1, 2), NamesSynced(), Made("b", 2)]
    record += [Written(1, 100, b"b" * 1_000), Synced(1, 5)]  # which began before that write
    disk = Disk(record)
    disk.play(len(record))
    found = [disk.cut(chance) for _ in range(400)]

    assert {tuple(files) for files in found} == {("a",), ("a", "b")}
    for files in found:
        content = files["a"]
        assert (content[:100], content[1_100:], set(content)) == (
            b"a" * 100,
            b"a" * (size - 1_100),
            set(content) & set(b"ab"),
        )
    sectors = {files["a"][SECTOR : 2 * SECTOR] for files in found}
    assert {b"a" * SECTOR, b"b" * SECTOR} < sectors
    assert any(set(sector) == set(b"ab") for sector in sectors)

"""Thousands of records changed by one call of a real server, in bounded memory, with a person's yes and progress."""

import sys
from pathlib import Path

import pytest

from tests.system.large import BY_ARGUMENT, run

COUNT = 12_000


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_thousands_of_records_are_changed_in_bounded_memory_with_progress(tmp_path: Path, mode: str) -> None:
    given, found, questions = await run(COUNT, tmp_path, mode)
    print(given, found, sep="\n")

    assert (given.answer["total"], given.answer["succeeded"]) == (BY_ARGUMENT, BY_ARGUMENT)
    assert found.answer["succeeded"] == found.answer["total"] >= COUNT
    for each in (given, found):
        assert each.kilobytes <= 200_000
        assert [told[0] for told in each.progress] == sorted({told[0] for told in each.progress})
        assert each.progress[-1][0] == each.progress[-1][1]
        assert len(each.answer["results"]) == 50
    assert any("records done" in (told[2] or "") and told[0] != told[1] for told in found.progress)
    assert [question.split(" records")[0] for question in questions] == [
        f"Create {BY_ARGUMENT:,} Contact",
        f"Change {found.answer['total']:,} Contact",
    ]

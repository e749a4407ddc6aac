"""The page of the stand-ins, beyond the wire, names tests, knobs and occasions that exist, and all of the latter."""

import re
from pathlib import Path

import pytest

from orgserver.sandbox import knobs, salesforce_answers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "stand-ins.md").read_text("utf-8")
_, _, _BEHAVIOURS = PAGE.partition("## How to read the rest")
ROWS = [line for line in _BEHAVIOURS.splitlines() if line.startswith("| ") and not line.startswith("| behaviour")]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE))))
def test_every_test_that_is_named_exists(name: str) -> None:
    path, _, function = name.partition("::")

    assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_every_knob_that_is_named_exists() -> None:
    named = {name for found in re.findall(r"\bknobs? ((?:`\w+`(?:, )?)+)", PAGE) for name in re.findall(r"\w+", found)}

    assert len(named) > 10
    assert named <= set(knobs.NAMES)


def test_every_occasion_is_named_and_none_that_does_not_exist() -> None:
    assert set(re.findall(r"occasion `(\w+)`", PAGE)) == salesforce_answers.NAMES


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_every_row_has_a_source_a_way_and_tests_or_an_outcome(row: str) -> None:
    behaviour, source, way, tests = (cell.strip() for cell in row.strip("|").split(" | "))

    assert behaviour and source
    assert re.match(r"default|knobs? `|occasion `|–", way)
    assert re.search(r"`tests/|unknown|rejected", tests)

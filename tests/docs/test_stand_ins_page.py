"""The page of stand-ins names tests that there are."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "stand-ins.md").read_text("utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", PAGE)

    assert len(named) > 10
    for file, test in named:
        found = [path.read_text("utf-8") for path in TESTS.rglob(file)]
        assert found, file
        assert not test or any(f"def {test}(" in text for text in found), f"{file}::{test}"

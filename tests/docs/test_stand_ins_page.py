"""The page of stand-ins names tests that there are, where they stand."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "stand-ins.md").read_text("utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    references = re.findall(r"`([\w/]*test_\w+\.py)(?:::(\w+))?`", PAGE)

    assert len(references) > 10
    for path, test in references:
        text = (ROOT / path).read_text("utf-8")
        assert not test or f"def {test}(" in text, f"{path}::{test}"

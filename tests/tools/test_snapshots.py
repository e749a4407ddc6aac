"""Each tool is listed as its file in tests/snapshots/tools says: ``python -m tests.snapshots`` renews them."""

import pytest

from tests.snapshots.listed_tools import FOLDER, texts

TEXTS = texts()


@pytest.mark.parametrize("name", TEXTS)
def test_a_tool_is_listed_as_its_file_says(name) -> None:
    assert (FOLDER / name).read_text("utf-8") == TEXTS[name], "python -m tests.snapshots renews the file"


def test_there_is_no_file_of_a_tool_that_is_gone() -> None:
    assert {path.name for path in FOLDER.iterdir()} == TEXTS.keys()

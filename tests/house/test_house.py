"""The house stays in order: short files, small folders, no circles, and values that are named for what they are."""

import pytest

from .source import Names, measure_source


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, int], Names]:
    return measure_source()


def test_no_file_is_longer_than_300_lines_and_no_folder_holds_more_than_15_modules(
    measured: tuple[dict[str, int], Names],
) -> None:
    _, names = measured

    assert names["long files"] == []
    assert names["large folders"] == []


def test_no_modules_import_each_other_at_whatever_time(measured: tuple[dict[str, int], Names]) -> None:
    _, names = measured

    assert names["circles"] == []


def test_values_are_named_for_what_they_are(measured: tuple[dict[str, int], Names]) -> None:
    figures, _ = measured

    assert figures["told, given, found … in product"] < 100

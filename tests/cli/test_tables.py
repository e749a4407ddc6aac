"""Tables for people: where each cell stands, and what a table of a whole fleet costs."""

import cProfile
import pstats

import pytest

from orgserver.cli.tables import print_table

_CALLS_PER_CELL = 100
"""Of functions; the tables of rich take 380."""


def test_cells_stand_under_their_titles_however_wide_their_signs_are(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("acme", "東京", None, "ready"), ("globex", None, None, "a\x1b[2Jb")]

    print_table(("org", "name", "user", "state"), rows)

    assert capsys.readouterr().out.splitlines() == [
        "org     name  state    ",
        "acme    東京  ready    ",
        "globex        a\\x1b[2Jb",
    ]


def test_a_table_of_a_fleet_takes_few_steps_for_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[f"cell {row} {column}" for column in range(12)] for row in range(1_000)]
    titles = [f"title {column}" for column in range(12)]
    print_table(titles, rows[:1])  # what is imported, and remembered
    profile = cProfile.Profile()

    profile.runcall(print_table, titles, rows)

    assert len(capsys.readouterr().out.splitlines()) == 2 + 1 + len(rows)
    calls = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]  # typeshed does not have it
    assert calls < _CALLS_PER_CELL * 12 * len(rows)

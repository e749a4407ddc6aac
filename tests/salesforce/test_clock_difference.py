"""A clock that is off is told by how much, in units a person thinks in."""

from datetime import timedelta

import pytest

from orgserver.salesforce import clock_difference


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(seconds=31), "31 s ahead of"),
        (timedelta(seconds=-59.6), "1 min behind"),
        (timedelta(seconds=200), "3 min 20 s ahead of"),
        (timedelta(hours=-1, minutes=-2), "1 h 2 min behind"),
        (timedelta(hours=24), "1 d ahead of"),
        (timedelta(days=-20_000, hours=-5), "20,000 d 5 h behind"),
    ],
)
def test_a_difference_is_told_in_two_units_at_most(ahead: timedelta, words: str) -> None:
    assert clock_difference.describe(ahead) == f"this machine's clock is {words} Salesforce's"

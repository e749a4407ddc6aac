"""A date of HTTP is an instant; what is no date is none."""

from datetime import UTC, datetime

import pytest

from orgserver.salesforce.protocol.messages import read_date

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [None, "", "now", "Sat, 28 Nov 99999 12:00:00 GMT", "Sat, 31 Feb 2026 12:00:00 GMT", "1", "\x00", "Sat, 28 Nov"],
)
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert read_date(text) is None


def test_a_date_without_its_zone_is_utc() -> None:
    assert read_date("Sat, 28 Nov 2026 12:00:00 -0000") == NOON


def test_a_date_is_an_instant() -> None:
    assert read_date("Sat, 28 Nov 2026 12:00:00 GMT") == NOON

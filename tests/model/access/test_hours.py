"""Hours are those of the clock on the wall, on the days when clocks change too; the next opening is the first one."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.access.hours import DAYS, Hours, next_opening

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour
    "Africa/Cairo",  # at midnight, so that a day begins at 01:00
    "America/Santiago",
    "Antarctica/Troll",  # two hours
]
CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 4, 23, 22, tzinfo=UTC),
    datetime(2026, 9, 6, 4, tzinfo=UTC),
    datetime(2027, 1, 1, tzinfo=UTC),
]
MINUTE = timedelta(minutes=1)


@st.composite
def some_hours(draw: st.DrawFn) -> Hours:
    start = draw(st.integers(0, 1_439))
    end = draw(st.integers(start + 1, 1_440))
    first, last = draw(st.sampled_from(DAYS)), draw(st.sampled_from(DAYS))
    clock = [f"{minute // 60:02}:{minute % 60:02}" for minute in (start, end)]
    return Hours.read(f"{first}-{last} {clock[0]}-{clock[1]} {draw(st.sampled_from(ZONES))}")


@st.composite
def instants(draw: st.DrawFn) -> datetime:
    return draw(st.sampled_from(CHANGES)) + timedelta(seconds=draw(st.integers(-3 * 86_400, 3 * 86_400)))


def is_within(hours: Hours, now: datetime) -> bool:
    """What the hours mean, said slowly."""
    local = now.astimezone(ZoneInfo(hours.zone))
    end = hours.end if hours.end != time() else time.max
    is_in_span = hours.start <= local.time() < end or (end == time.max and local.time() == end)
    return local.strftime("%w") in {str((day + 1) % 7) for day in hours.days} and is_in_span


@given(some_hours(), instants(), st.lists(st.integers(-90, 90), max_size=5))
def test_hours_hold_as_the_clock_on_the_wall_says(hours: Hours, now: datetime, seconds: list[int]) -> None:
    for instant in [now, *(now + timedelta(seconds=each) for each in seconds)]:  # also when asked about again
        assert hours.hold(instant) is is_within(hours, instant)


def first_minute(hours: Sequence[Hours], now: datetime, most: int) -> datetime | None:
    if all(is_within(each, now) for each in hours):
        return now
    minute = now.replace(second=0, microsecond=0)
    for number in range(1, most + 1):
        if all(is_within(each, minute + number * MINUTE) for each in hours):
            return minute + number * MINUTE
    return None


@given(st.lists(some_hours(), min_size=1, max_size=2), instants())
def test_the_next_opening_is_the_first_minute_at_which_all_of_them_hold(hours: list[Hours], now: datetime) -> None:
    opening = next_opening(hours, now)

    assert opening is None or (opening >= now and all(each.hold(opening) for each in hours))
    expected = first_minute(hours, now, 2_880)
    if expected is not None:
        assert opening == expected
    else:
        assert opening is None or opening > now + 2_879 * MINUTE


@pytest.mark.parametrize(
    ("text", "now", "opening"),
    [
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-11-28T12:00:00Z", "2026-11-30T07:00:00Z"),
        ("Mon-Fri 08:00-18:00 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T06:00:00Z"),
        ("Sun 02:15-04:00 Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),  # the clocks skip 02:15
        ("Sun 02:15-02:45 Europe/Berlin", "2026-03-29T00:00:00Z", "2026-04-05T00:15:00Z"),  # and all of that hour
        ("Sun 01:30-02:30 Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z"),  # they go back into it
        ("Sun 02:30-03:30 Europe/Berlin", "2026-10-25T01:15:00Z", "2026-10-25T01:30:00Z"),  # and once more over it
        ("Fri 00:00-24:00 Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-23T22:00:00Z"),  # the day begins at 01:00
    ],
)
def test_openings_beside_changes_of_the_clocks(text: str, now: str, opening: str) -> None:
    assert next_opening([Hours.read(text)], datetime.fromisoformat(now)) == datetime.fromisoformat(opening)


def test_hours_that_exclude_each_other_never_open() -> None:
    apart = [Hours.read("Mon 08:00-10:00 UTC"), Hours.read("Tue 08:00-10:00 UTC")]

    assert next_opening(apart, CHANGES[0]) is None
    assert next_opening([], CHANGES[0]) == CHANGES[0]


NIGHT = "Mon-Fri 22:00-24:00, Tue-Sat 00:00-06:00 Europe/Berlin"


@given(instants())
def test_several_spans_hold_where_one_of_them_does(now: datetime) -> None:
    parts = [Hours.read(f"{span} Europe/Berlin") for span in NIGHT.removesuffix(" Europe/Berlin").split(", ")]

    assert Hours.read(NIGHT).hold(now) is any(part.hold(now) for part in parts)
    opening = next_opening([Hours.read(NIGHT)], now)
    assert opening == min(instant for part in parts if (instant := next_opening([part], now)) is not None)


def test_several_spans_are_read_and_written_in_one_form() -> None:
    hours = Hours.read("  Mon,Wed 22:00-24:00,  Tue 00:00-06:00   Europe/Berlin ")

    assert str(hours) == "Mon,Wed 22:00-24:00, Tue 00:00-06:00 Europe/Berlin"
    assert Hours.read(str(hours)) == hours


def test_a_span_over_midnight_is_refused_with_the_two_that_it_is() -> None:
    with pytest.raises(ValueError, match="ends before it begins") as refused:
        Hours.read("Mon-Fri 22:00-06:00 Europe/Berlin")

    suggested = str(refused.value).partition("'")[2].removesuffix("'")
    night = Hours.read(suggested)
    assert [night.hold(datetime(2026, 1, day, hour, 30, tzinfo=ZoneInfo("Europe/Berlin"))) for day, hour in
            ((5, 21), (5, 22), (6, 5), (6, 6), (9, 23), (10, 5), (10, 22))] == [
        False, True, True, False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["Mon 08:00-09:00,", "Mon 08:00-09:00, UTC", "Mon 08:00-09:00 Tue 10:00-11:00 UTC", ", Mon 08:00-09:00 UTC"]
)
def test_what_is_no_list_of_spans_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Hours.read(text)

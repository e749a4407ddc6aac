"""Times with an offset or the name of a zone mean one instant, or are refused."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model import times
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import CONTACT, EVENT
from orgserver.services.records import appointments, event_times, field_values


def read(text: str) -> datetime | str:
    """The instant, or what is wrong."""
    try:
        return times.read_instant(text)
    except ValueError as error:
        return str(error)


ZONES = sorted(name for name in available_timezones() if name != "localtime")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00"),
        ("2026-11-24T10:00+01:00", "2026-11-24T09:00:00"),
        ("2026-11-24T10:00:00.5+0100", "2026-11-24T09:00:00.500000"),
        ("2026-11-24T10:00:00 Europe/Berlin", "2026-11-24T09:00:00"),
        ("2026-07-24 10:00 Europe/Berlin", "2026-07-24T08:00:00"),
        ("2026-11-24T10:00[Europe/Berlin]", "2026-11-24T09:00:00"),
        ("2026-11-24T10:00 America/Argentina/Buenos_Aires", "2026-11-24T13:00:00"),
        ("2026-10-25T02:30+01:00[Europe/Berlin]", "2026-10-25T01:30:00"),
    ],
)
def test_a_time_with_offset_or_zone_is_one_instant(text: str, utc: str) -> None:
    assert times.read_instant(text) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2026-11-24T10:00", "offset or zone"),
        ("tomorrow", "offset or zone"),
        ("2026-02-30T10:00Z", "no calendar"),
        ("2026-02-20T24:61Z", "no calendar"),
        ("2026-03-29T02:30 Europe/Berlin", "does not exist"),
        ("2026-10-25T02:30 Europe/Berlin", "happens twice"),
        ("2026-11-24T10:00+02:00[Europe/Berlin]", "offset that its zone does not have"),
        ("2026-11-24T10:00 Europe/Nowhere", "does not exist; use one"),
        ("2026-11-24T10:00 Europe", "does not exist; use one"),
        ("2026-11-24T10:00 ../../etc/passwd", "offset or zone"),
        ("0001-01-01T00:00 Asia/Tokyo", "out of range"),
        ("٢٠٢٦-11-24T10:00Z", "offset or zone"),
    ],
)
def test_a_time_that_is_no_instant_says_why(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        times.read_instant(text)


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2036, 1, 1)).map(lambda at: at.replace(second=0, microsecond=0)),  # noqa: DTZ001  # wall times
    st.sampled_from(ZONES),
)
def test_a_wall_time_in_any_zone_comes_back_as_it_was_or_is_refused_at_a_change_of_clocks(at, name) -> None:
    zone = ZoneInfo(name)
    text = f"{at.isoformat(timespec='minutes')} {name}"
    found = read(text)
    if isinstance(found, str):
        assert "clocks" in found
        around = {(at + timedelta(hours=hours)).replace(tzinfo=zone).utcoffset() for hours in (-25, 0, 25)}
        fold = {at.replace(tzinfo=zone, fold=each).utcoffset() for each in (0, 1)}
        assert len(around | fold) > 1
    else:
        assert found.astimezone(zone).replace(tzinfo=None) == at


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_named_problem(text: str) -> None:
    found = read(text)

    assert found if isinstance(found, str) else found.tzinfo is UTC


def test_a_zone_is_gone_before_a_value_is_sent() -> None:
    sent = field_values.check_field_values(
        {"StartDateTime": "2026-11-24T10:00 Europe/Berlin", "EndDateTime": "2026-11-24T11:00:00+01:00", "X__c": "t"},
        EVENT,
        "create",
    )

    assert sent == {
        "StartDateTime": "2026-11-24T09:00:00Z",
        "EndDateTime": "2026-11-24T11:00:00+01:00",
        "X__c": "t",
    }
    with pytest.raises(InvalidArgument, match="data.EmailBouncedDate must be a time"):
        field_values.check_field_values({"EmailBouncedDate": "yesterday"}, CONTACT, "update")


def test_days_of_an_all_day_event_are_sent_as_they_are_written() -> None:
    sent = event_times.prepare_days(
        {"IsAllDayEvent": True, "StartDateTime": "2026-11-24", "EndDateTime": "2026-11-25T00:00 Asia/Tokyo"}
    )

    assert (sent["StartDateTime"], sent["EndDateTime"]) == ("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z")
    timed = {"IsAllDayEvent": False, "StartDateTime": "2026-11-24T10:00 Asia/Tokyo"}
    assert event_times.prepare_days(timed) == timed
    with pytest.raises(InvalidArgument, match="a date will do"):
        event_times.prepare_days({"isAllDayEvent": True, "startDateTime": "soon"})


@pytest.mark.parametrize(
    ("record", "local"),
    [
        (
            {
                "StartDateTime": "2026-07-01T20:00:00.000+0000",
                "EndDateTime": "2026-07-02T20:00:00.000+0000",
                "IsAllDayEvent": False,
            },
            {"start": "2026-07-01T22:00:00+02:00", "end": "2026-07-02T22:00:00+02:00"},
        ),
        (
            {"StartDateTime": "2026-07-01T00:00:00.000+0000", "IsAllDayEvent": True, "DurationInMinutes": 1_440},
            {"start": "2026-07-01", "end": "2026-07-01"},
        ),
        (
            {"StartDateTime": "2026-07-01T00:00:00.000+0000", "IsAllDayEvent": True, "DurationInMinutes": 4_320},
            {"start": "2026-07-01", "end": "2026-07-03"},
        ),
        (
            {
                "StartDateTime": "2026-07-01T00:00:00.000+0000",
                "EndDateTime": "2026-07-02T00:00:00.000+0000",
                "IsAllDayEvent": True,
            },
            {"start": "2026-07-01", "end": "2026-07-02"},
        ),
    ],
)
def test_an_event_is_told_in_its_users_zone_and_an_all_day_one_in_days(record, local) -> None:
    told = appointments.show_event(record, "Europe/Berlin", None)

    assert told["local"] == local | {"time_zone": "Europe/Berlin"}
    assert told.items() >= record.items()
    assert "local" not in appointments.show_event(record | {"IsAllDayEvent": None}, "Europe/Berlin", None)


def test_a_series_is_told_in_our_words_and_a_record_without_times_has_no_local_ones() -> None:
    single = {"Id": "1", "IsRecurrence": False, "IsRecurrence2": False}

    assert appointments.show_event(single, "UTC", None) == {"Id": "1"}
    assert appointments.show_event({"Id": "2", "RecurrenceActivityId": "1"}, "UTC", None) == {
        "Id": "2",
        "recurring": True,
        "series_id": "1",
    }
    assert appointments.show_event({"Id": "1", "IsRecurrence2": True}, "UTC", None)["series_id"] == "1"
    assert appointments.show_event(single, "UTC", ["Id", "IsRecurrence", "IsRecurrence2"]) == single

"""What an Event needs, and how its times follow from one another (Object Reference, "Event")."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.state.field_values import stamp

_LONGEST = timedelta(days=14)
_DAY = 1_440


def missing(values: dict[str, Any]) -> list[str]:
    """The fields that a new event lacks, though describe does not call them required."""
    lacking = []
    if not any(values.get(name) for name in ("StartDateTime", "ActivityDateTime", "ActivityDate")):
        lacking.append("ActivityDateTime")
    long = values.get("EndDateTime") or values.get("DurationInMinutes") is not None or values.get("IsAllDayEvent")
    if not long:
        lacking.insert(0, "DurationInMinutes")
    return lacking


def derive(record: dict[str, Any], names: set[str]) -> None:
    """Make start, end, duration and day agree, the fields in ``names`` first, which somebody wrote."""
    start = _start(record, names)
    all_day = bool(record.get("IsAllDayEvent"))
    minutes = record.get("DurationInMinutes")
    if "EndDateTime" in names and record["EndDateTime"]:
        end = datetime.fromisoformat(record["EndDateTime"])
        if "DurationInMinutes" in names and minutes is not None and start + timedelta(minutes=minutes) != end:
            raise _wrong("DurationInMinutes and EndDateTime do not agree")
    else:
        try:
            end = start + timedelta(minutes=(_DAY if all_day else 0) if minutes is None else minutes)
        except OverflowError:
            raise _wrong("Event duration can't be longer than 14 days") from None
    if end < start:
        raise _wrong("Event duration cannot be negative")
    if end - start > _LONGEST:
        raise _wrong("Event duration can't be longer than 14 days")
    record.update(
        StartDateTime=stamp(start),
        ActivityDateTime=None if all_day else stamp(start),
        ActivityDate=start.date().isoformat(),
        EndDateTime=stamp(end),
        EndDate=end.date().isoformat(),
        DurationInMinutes=int((end - start).total_seconds() // 60),
    )


def _start(record: dict[str, Any], names: set[str]) -> datetime:
    times = {record[name] for name in ("StartDateTime", "ActivityDateTime") if name in names and record.get(name)}
    if len(times) > 1:
        raise _wrong("StartDateTime and ActivityDateTime do not agree")
    text = next(iter(times), None)
    if text is None and "ActivityDate" in names and record.get("ActivityDate") and record.get("IsAllDayEvent"):
        text = f"{record['ActivityDate']}T00:00:00.000+0000"
    text = text or record.get("StartDateTime") or f"{record.get('ActivityDate')}T00:00:00.000+0000"
    return datetime.fromisoformat(text).astimezone(UTC)


def _wrong(message: str) -> Refusal:
    return Refusal(400, "FIELD_INTEGRITY_EXCEPTION", message, ["DurationInMinutes"])

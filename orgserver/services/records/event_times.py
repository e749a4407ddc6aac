"""The rules of an Event's times: the same for the appointment tools, for records and for changes of many.

1. A time names an instant: it has an offset or a zone. One that clocks skip or show twice in its zone is refused.
2. An all-day event is made of days. Whatever zone or offset its times are written in, the days are those that are
   written, and are sent as midnight UTC; Salesforce never shifts those to a zone (Object Reference, "Event"). A date
   will do.
3. Whether a changed event is all-day is what the change says of it (null is false), else what the event is: then it
   is read first.
4. A plain date as the time of an event that is not all-day is refused, for its zone is not known.
5. An event that becomes all-day and is given no start keeps the days that it has in the zone of the org's user.
6. A change of all events that a query finds, with times in it, says itself whether they are all-day.

Overlaps are looked up for a single create alone: they are no rule, but a courtesy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from orgserver.model import times
from orgserver.model.errors import InvalidArgument
from orgserver.model.results import FieldValues
from orgserver.model.schema import FieldInfo
from orgserver.salesforce import soql
from orgserver.services.records import value_shapes

TIMES = frozenset({"startdatetime", "enddatetime", "activitydatetime"})
STATE_FIELDS = ("IsAllDayEvent", "StartDateTime", "EndDateTime")
"""The fields of an event that say how a change of its times is meant."""
_STARTS = frozenset({"startdatetime", "activitydatetime", "activitydate"})
_FLAG = FieldInfo("IsAllDayEvent", "", "boolean")


@dataclass(frozen=True, slots=True)
class EventState:
    """An event as it is before it is changed."""

    all_day: bool
    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> EventState:
        """The state of an event that was read."""
        fields = {name.lower(): value for name, value in record.items()}
        start, end = (_read_time(fields.get(name)) for name in ("startdatetime", "enddatetime"))
        return cls(fields.get("isalldayevent") is True, start, end)


def is_time(field: str) -> bool:
    """Whether a field of an event is a time, which may be a day."""
    return field.lower() in TIMES


def is_all_day(data: Mapping[str, Any]) -> bool | None:
    """Whether a change says that the event is all-day; None where it does not say. An empty checkbox is not ticked."""
    values = [value for name, value in data.items() if _is_flag(name)]
    if not values:
        return None
    try:
        return bool(value_shapes.convert(_FLAG, values[0]))
    except ValueError:
        return None  # refused with its field's name, when all fields are checked


def _is_flag(name: str) -> bool:
    return name.lower() == _FLAG.name.lower()


def depends_on_event(data: Mapping[str, Any], action: Literal["create", "update", "upsert"]) -> bool:
    """Whether the event that is changed must be read to know what the change means."""
    if action == "create":
        return False
    names = _names_with_values(data)
    flag = is_all_day(data)
    return bool(names & TIMES) if flag is None else flag and not names & _STARTS


def prepare_days(data: FieldValues) -> FieldValues:
    """Event fields ready to send where they say that it is all-day; where they do not, the same fields."""
    if is_all_day(data) is True:
        return _days(data)
    return {name: False if value is None and _is_flag(name) else value for name, value in data.items()}


def prepare_times(data: FieldValues, state: EventState | None, zone: str, place: str = "data") -> FieldValues:
    """Event fields ready to send, for an event as it stands (None: there is none yet)."""
    flag = is_all_day(data)
    was_all_day = state is not None and state.all_day
    if not (was_all_day if flag is None else flag):
        return {name: _instant(name, value, place) for name, value in data.items()}
    days = _days(data, place)
    if flag and not was_all_day and state is not None and state.start is not None:
        names = _names_with_values(data)
        where = times.zone_or_utc(zone)
        ends = {"StartDateTime": state.start, "EndDateTime": state.end or state.start}
        if not names & _STARTS:
            rest = {name: at for name, at in ends.items() if name.lower() not in names}
            days |= {name: _midnight_of(at.astimezone(where)) for name, at in rest.items()}
    return days


def _names_with_values(data: Mapping[str, Any]) -> set[str]:
    return {name.lower() for name, value in data.items() if value is not None}


def time_problem(value: Any) -> str | None:
    """What is wrong with a time that may be a day, whatever the event is; None where that is nothing."""
    if not isinstance(value, str):
        return f"must be a time with its offset or zone, such as {times.TIME_EXAMPLES}"
    try:
        if not times.is_date(value):
            times.read_wall_time(value)
    except ValueError as error:
        return str(error)
    return None


def _days(data: FieldValues, place: str = "data") -> FieldValues:
    """Times as the days that are written in them, at midnight UTC."""
    return {name: _midnight(name, value, place) if name.lower() in TIMES else value for name, value in data.items()}


def _midnight(name: str, text: Any, place: str) -> Any:
    if not isinstance(text, str):
        return text
    try:
        day = text if times.is_date(text) else times.read_wall_time(text).date().isoformat()
    except ValueError as error:
        problem = f"{place}.{name} {error}; of an all-day event a date will do"
        raise InvalidArgument(problem, fields=[f"{place}.{name}"]) from None
    return f"{day}T00:00:00Z"


def _midnight_of(at: datetime) -> str:
    return f"{at.date().isoformat()}T00:00:00Z"


def _instant(name: str, value: Any, place: str) -> Any:
    if name.lower() not in TIMES or not isinstance(value, str) or times.is_datetime(value):
        return value
    try:
        return soql.literal(times.read_instant(value))
    except ValueError as error:
        hint = "for an all-day event say IsAllDayEvent: true" if times.is_date(value) else None
        raise InvalidArgument(f"{place}.{name} {error}", fields=[f"{place}.{name}"], hint=hint) from None


def _read_time(value: Any) -> datetime | None:
    if not isinstance(value, str) or not times.is_datetime(value):
        return None
    return datetime.fromisoformat(value).astimezone(UTC)

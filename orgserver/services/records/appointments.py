"""Appointments as a calendar shows them: all-day events, series and zones; overlaps; attendees."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from orgserver.model import names, times
from orgserver.model.access.logins import LoginKey
from orgserver.model.errors import CallError, Rejected
from orgserver.model.names import EVENT, RecordId, SObjectName
from orgserver.model.orgs import Org
from orgserver.model.results import FieldValues
from orgserver.salesforce import soql
from orgserver.salesforce.protocol import rest
from orgserver.services.calls.access import OrgSession
from orgserver.services.results import result_size

_TIMES = ("startdatetime", "enddatetime")
_SERIES = ("IsRecurrence", "IsRecurrence2", "RecurrenceActivityId")
_COMPANIONS = ("IsAllDayEvent", "DurationInMinutes")
INTERVAL_FIELDS = frozenset({"IsAllDayEvent", "StartDateTime", "EndDateTime", "DurationInMinutes"})
"""By these ``interval_conditions`` chooses."""
_DAY_MINUTES = 1_440
_OVERLAP_SECONDS = 5.0
_MAX_OVERLAPS = 5
_ATTENDEES = 50
_ID = 18
_OVERLAP_FIELDS = ("OwnerId", "IsAllDayEvent", "IsRecurrence", "ShowAs", "StartDateTime", "EndDateTime")
_ADDED = 256
"""Two times and the names around them."""
_ESCAPE = 6
"""Bytes of a character that is escaped."""


def user_zone(org: Org) -> str:
    """The time zone of the org's user."""
    return (org.user.time_zone if org.user is not None else "") or "UTC"


# -- writing


async def overlap_warnings(session: OrgSession, data: FieldValues) -> tuple[str, ...]:
    """Warn of what the owner has at that time; looked up before the create, and nothing that fails there stops it."""
    values = {name.lower(): value for name, value in data.items()}
    owner = values.get("ownerid") or (session.org.user.id if session.org.user else None)
    may_look = session.limits.may_compare(EVENT, _OVERLAP_FIELDS, session.schemas)
    if owner is None or values.get("isalldayevent") is True or not may_look:
        return ()
    try:
        start = datetime.fromisoformat(str(values["startdatetime"])).astimezone(UTC)
        end = _end(values, start)
        owner = names.record_id(str(owner))
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()
    text = (
        f"SELECT Id, StartDateTime, EndDateTime FROM Event WHERE OwnerId = {soql.literal(owner)} "  # noqa: S608
        f"AND IsAllDayEvent = false AND IsRecurrence = false AND ShowAs != 'Free' "
        f"AND StartDateTime < {soql.literal(end)} AND EndDateTime > {soql.literal(start)} "
        f"ORDER BY StartDateTime LIMIT {_MAX_OVERLAPS + 1}"
    )
    try:
        async with asyncio.timeout(_OVERLAP_SECONDS):
            request = rest.query(session.org.api_version, text, 200)
            return await session.call(request, lambda reply: _overlap_warnings(rest.read_page(reply).records))
    except (CallError, TimeoutError):
        return ()
    finally:
        session.trace.sent = False  # a read changes nothing


def _end(values: Mapping[str, Any], start: datetime) -> datetime:
    end = values.get("enddatetime")
    if end is not None:
        return datetime.fromisoformat(str(end)).astimezone(UTC)
    return start + timedelta(minutes=int(values["durationinminutes"]))


def _overlap_warnings(events: list[FieldValues]) -> tuple[str, ...]:
    if not events:
        return ()
    names_and_times = ", ".join(
        f"{str(each.get('Id'))[:_ID]} ({_stamp(each, 'StartDateTime')} to {_stamp(each, 'EndDateTime')})"
        for each in events[:_MAX_OVERLAPS]
    )
    more = " and more" if len(events) > _MAX_OVERLAPS else ""
    return (f"overlaps with other appointments of its owner: {names_and_times}{more}",)


def _stamp(record: FieldValues, name: str) -> str:
    at = _read_time(record.get(name))
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else "?"


# -- reading


def companion_fields(fields: Sequence[str]) -> tuple[str, ...]:
    """What must be read beside an event's times to tell whether they are days, and which: as far as it is not read."""
    names_read = {name.lower() for name in fields}
    if names_read.isdisjoint(_TIMES):
        return ()
    return tuple(name for name in _COMPANIONS if name.lower() not in names_read)


def show_event(record: FieldValues, zone: str, fields: Sequence[str] | None) -> FieldValues:
    """An event with its times as the org's user sees them; of all its fields (None), with its series in our words."""
    companions = companion_fields(fields or ())
    event = {name: value for name, value in record.items() if name not in companions}
    if fields is None:
        series = {name: event.pop(name, None) for name in _SERIES}
        if any(series.values()):
            event["recurring"] = True
            event["series_id"] = series["RecurrenceActivityId"] or event.get("Id")
    local = _local_times(record, times.zone_or_utc(zone))
    if local:
        event["local"] = local | {"time_zone": zone}
    return event


def added_bytes(sobject: SObjectName, zone: str) -> int:
    """How many bytes more a record may take as it is told: an event has its local times and their zone, too."""
    return _ADDED + _ESCAPE * len(zone) if sobject == EVENT else 0


def _local_times(record: FieldValues, zone: ZoneInfo) -> dict[str, str]:
    start, end = _read_time(record.get("StartDateTime")), _read_time(record.get("EndDateTime"))
    is_all_day = record.get("IsAllDayEvent")
    if is_all_day is None:  # hidden from the login's user: they may be days or instants
        return {}
    try:
        if is_all_day:
            return _days(start, end, record.get("DurationInMinutes"))
        instants = {"start": start, "end": end}
        return {name: at.astimezone(zone).isoformat() for name, at in instants.items() if at is not None}
    except OverflowError:
        return {}


def _days(start: datetime | None, end: datetime | None, minutes: Any) -> dict[str, str]:
    """First and last day of an all-day event; its length tells the last one, for its end may be either midnight."""
    if start is None:
        return {}
    last = end.date() if end else start.date()
    if isinstance(minutes, int):
        last = start.date() + timedelta(days=max(-(-minutes // _DAY_MINUTES), 1) - 1)
    return {"start": start.date().isoformat(), "end": last.isoformat()}


def _read_time(value: Any) -> datetime | None:
    if not isinstance(value, str) or not times.is_datetime(value):
        return None
    return datetime.fromisoformat(value).astimezone(UTC)


# -- finding


def interval_conditions(first: datetime | None, last: datetime | None, zone: str) -> list[str]:
    """Conditions for events that overlap ``[first, last)``; one without length counts at its instant.

    All-day events are days, not instants: they are compared with the days that the interval touches in the user's
    zone. Whether their end is the last day's midnight or the next one's, a length of one day ends on the first.
    """
    where = times.zone_or_utc(zone)
    conditions = []
    if first is not None:
        at, day = soql.literal(first), soql.literal(_day(first, where))
        by_instant = f"IsAllDayEvent = false AND (EndDateTime > {at} OR StartDateTime >= {at})"
        by_day = f"StartDateTime >= {day} OR (EndDateTime >= {day} AND DurationInMinutes > {_DAY_MINUTES})"
        conditions.append(f"(({by_instant}) OR (IsAllDayEvent = true AND ({by_day})))")
    if last is not None:
        day = soql.literal(_day(last - timedelta(microseconds=1), where))
        by_instant = f"IsAllDayEvent = false AND StartDateTime < {soql.literal(last)}"
        conditions.append(f"(({by_instant}) OR (IsAllDayEvent = true AND StartDateTime <= {day}))")
    return conditions


def _day(at: datetime, zone: ZoneInfo) -> datetime:
    """Midnight UTC of the day that an instant falls on in a zone: how Salesforce writes that day."""
    try:
        day: date = at.astimezone(zone).date()
    except OverflowError:
        day = at.date()
    return datetime.combine(day, time(), UTC)


# -- attendees


class Attendees:
    """Who was invited; where there are no invitations for a login to see, it is asked once."""

    def __init__(self) -> None:
        self._logins_without: set[LoginKey] = set()

    async def read(self, session: OrgSession, event: RecordId) -> dict[str, Any]:
        """The event's ``attendees``; nothing where the org has none, a word where they could not be read."""
        may_look = session.limits.may_compare("EventRelation", ("EventId", "IsInvitee"), session.schemas)
        if session.org.login in self._logins_without or not may_look:
            return {}
        try:
            rows = await self._read_rows(session, event)
        except Rejected as error:
            if error.code != "INVALID_TYPE":
                return {"attendees_unread": error.code}
            self._logins_without.add(session.org.login)
            return {}
        except CallError as error:
            return {"attendees_unread": error.code}
        attendees = [_attendee(row) for row in rows[:_ATTENDEES]]
        more = {"more_attendees": True} if len(rows) > _ATTENDEES else {}
        return ({"attendees": attendees} | more) if attendees else {}

    async def _read_rows(self, session: OrgSession, event: RecordId) -> list[FieldValues]:
        one = f"SELECT RelationId, Relation.Name, Relation.Type, Status FROM EventRelation WHERE EventId = '{event}'"  # noqa: S608
        for condition in (" AND IsInvitee = true", ""):  # without Shared Activities there are invitees only
            request = rest.query(session.org.api_version, f"{one}{condition} LIMIT {_ATTENDEES + 1}", 200)
            try:
                return await session.call(request, lambda reply: rest.read_page(reply).records[: _ATTENDEES + 1])
            except Rejected as error:
                if error.code != "INVALID_FIELD" or not condition:
                    raise
        raise AssertionError("the last attempt returns or raises")


def _attendee(row: Mapping[str, Any]) -> FieldValues:
    relation = row.get("Relation") or {}
    attendee = {
        "id": row.get("RelationId"),
        "name": relation.get("Name"),
        "type": relation.get("Type"),
        "status": row.get("Status"),
    }
    return result_size.without_nulls(attendee)

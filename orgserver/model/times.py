"""Times and days as people write them.

A time has an offset, or the name of a zone (RFC 9557's brackets, or after a space). A day has its year first, or its
month in letters, or a number that can only be the day.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_NAME = r"[A-Za-z][A-Za-z0-9_+\-]{0,40}(?:/[A-Za-z0-9_+\-]{1,40}){0,2}"
_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)"
    r"(?P<offset>Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
    rf"(?: ?\[(?P<bracket>{_NAME})\]| (?P<zone>{_NAME}))?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(_DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:?[0-9]{2})")
_YEAR_FIRST = re.compile(r"(?P<year>[0-9]{4})([-/.])(?P<month>[0-9]{1,2})\2(?P<day>[0-9]{1,2})")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})")
_DAY_MONTH = re.compile(
    r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?\.?[ -](?P<month>[A-Za-z]{3,9})\.?,?[ -](?P<year>[0-9]{4})"
)
_MONTH_DAY = re.compile(r"(?P<month>[A-Za-z]{3,9})\.? (?P<day>[0-9]{1,2})(?:st|nd|rd|th)?,? (?P<year>[0-9]{4})")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_AGO = re.compile(r"(\d{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
DATE_EXAMPLE = "2026-02-20"
TIME_EXAMPLES = "2026-02-20T18:00:00Z or 2026-02-20T19:00 Europe/Berlin"


def read_zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name; ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of the zone database is no zone
        raise ValueError("names a time zone that does not exist; use one such as Europe/Berlin") from None


def zone_or_utc(name: str) -> ZoneInfo:
    """A time zone that an org gave; UTC if it is not known here."""
    try:
        return read_zone(name)
    except ValueError:
        return ZoneInfo("UTC")


def is_date(text: str) -> bool:
    """Tell whether this is a date Salesforce takes (REST guide, "Valid Date and DateTime Formats")."""
    return bool(_DATE.fullmatch(text)) and _parses(date.fromisoformat, text)


def is_datetime(text: str) -> bool:
    """Tell whether this is a time with an offset, as Salesforce takes it."""
    return bool(_DATETIME.fullmatch(text)) and _parses(datetime.fromisoformat, text)


def _parses(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def read_day(text: str) -> date:
    """The day; ValueError where it is none, where it may be two, or where a time of day stands behind it."""
    plain = text.strip()
    if _TIME.fullmatch(plain):
        at = read_wall_time(plain)
        if at.time() != time():
            raise ValueError(f"must be a date such as {DATE_EXAMPLE}, without a time of day")
        return at.date()
    for form in (_YEAR_FIRST, _DAY_MONTH, _MONTH_DAY):
        if match := form.fullmatch(plain):
            return _calendar_day(match["year"], _month(match["month"]), match["day"])
    if match := _YEAR_LAST.fullmatch(plain):
        return _only_day(match[4], match[1], match[3])
    raise ValueError(f"must be a date such as {DATE_EXAMPLE}")


def _only_day(year: str, first: str, second: str) -> date:
    """The day of two numbers of which either may be the month, if it is the same day or only one of them is one."""
    days = set()
    for month, number in ((first, second), (second, first)):
        try:
            days.add(_calendar_day(year, month, number))
        except ValueError:
            continue
    if len(days) > 1:
        raise ValueError(f"may mean two days; write it as {DATE_EXAMPLE}")
    if not days:
        raise ValueError("is a day that no calendar has")
    return days.pop()


def _calendar_day(year: str, month: str | int, number: str) -> date:
    try:
        return date(int(year), int(month), int(number))
    except ValueError:
        raise ValueError("is a day that no calendar has") from None


def _month(text: str) -> str | int:
    if text.isdigit():
        return text
    word = text.lower()
    places = [place for place, name in enumerate(_MONTHS, 1) if name == word or name[:3] == word or word == name[:4]]
    if not places:
        raise ValueError(f"must be a date such as {DATE_EXAMPLE}")
    return places[0]


def read_wall_time(text: str) -> datetime:
    """Date and time as they are written, without zone; ValueError if it is no moment."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a time with its offset or zone, such as {TIME_EXAMPLES}")
    try:
        return datetime.fromisoformat(f"{match['day']}T{match['time']}")
    except ValueError:
        raise ValueError("is a day or time that no calendar or clock has") from None


def read_instant(text: str) -> datetime:
    """The instant in UTC; ValueError says what is wrong."""
    local, match = read_wall_time(text), _TIME.fullmatch(text)
    assert match is not None  # noqa: S101  # or it had no wall time
    zone_name = match["bracket"] or match["zone"]
    try:
        if match["offset"]:
            at = datetime.fromisoformat(f"{local.isoformat()}{match['offset']}").astimezone(UTC)
            if zone_name and at.astimezone(read_zone(zone_name)).replace(tzinfo=None) != local:
                raise ValueError("has an offset that its zone does not have then")
            return at
        if zone_name:
            return _in_zone(local, read_zone(zone_name))
    except OverflowError:
        raise ValueError("is out of range") from None
    raise ValueError(f"must be a time with its offset or zone, such as {TIME_EXAMPLES}")


def read_moment(text: str, now: datetime) -> datetime:
    """A time of ISO 8601, UTC without an offset, or ``7d``, ``12h``, ``30m`` before now; ValueError if it is none."""
    match = _AGO.fullmatch(text)
    try:
        if match:
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError("give ISO 8601, such as 2026-02-20T18:00Z, or 7d, 12h, 30m") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _in_zone(local: datetime, where: ZoneInfo) -> datetime:
    """A wall time's instant; one that clocks skip or show twice is refused, not guessed."""
    first, second = (local.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    if first.astimezone(where).replace(tzinfo=None) != local:
        raise ValueError("does not exist in its zone: clocks are put forward then")
    raise ValueError("happens twice in its zone, for clocks are put back then; give an offset")

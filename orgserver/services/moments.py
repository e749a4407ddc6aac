"""Times as people write them: with an offset, or with the name of a zone (RFC 9557's brackets, or after a space)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_NAME = r"[A-Za-z][A-Za-z0-9_+\-]{0,40}(?:/[A-Za-z0-9_+\-]{1,40}){0,2}"
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)"
    r"(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?"
    rf"(?: ?\[(?P<bracket>{_NAME})\]| (?P<zone>{_NAME}))?"
)
EXAMPLES = "2026-02-20T18:00:00Z or 2026-02-20T19:00 Europe/Berlin"


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name; ValueError if there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of the zone database is no zone
        raise ValueError("names a time zone that does not exist; use one such as Europe/Berlin") from None


def zone_or_utc(name: str) -> ZoneInfo:
    """A time zone that an org gave; UTC if it is not known here."""
    try:
        return zone(name)
    except ValueError:
        return ZoneInfo("UTC")


def wall(text: str) -> datetime:
    """Date and time as they are written, without zone; ValueError if it is no moment."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"must be a time with its offset or zone, such as {EXAMPLES}")
    try:
        return datetime.fromisoformat(f"{found['day']}T{found['time']}")
    except ValueError:
        raise ValueError("is a day or time that no calendar or clock has") from None


def instant(text: str) -> datetime:
    """The instant in UTC; ValueError says what is wrong."""
    local, found = wall(text), _MOMENT.fullmatch(text)
    assert found is not None  # noqa: S101  # or it had no wall time
    named = found["bracket"] or found["zone"]
    try:
        if found["offset"]:
            at = datetime.fromisoformat(f"{local.isoformat()}{found['offset']}").astimezone(UTC)
            if named and at.astimezone(zone(named)).replace(tzinfo=None) != local:
                raise ValueError("has an offset that its zone does not have then")
            return at
        if named:
            return _in_zone(local, zone(named))
    except OverflowError:
        raise ValueError("is out of range") from None
    raise ValueError(f"must be a time with its offset or zone, such as {EXAMPLES}")


def _in_zone(local: datetime, where: ZoneInfo) -> datetime:
    """A wall time's instant; one that clocks skip or show twice is refused, not guessed."""
    first, second = (local.replace(tzinfo=where, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    if first.astimezone(where).replace(tzinfo=None) != local:
        raise ValueError("does not exist in its zone: clocks are put forward then")
    raise ValueError("happens twice in its zone, for clocks are put back then; give an offset")

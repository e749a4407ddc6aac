"""What an agent is told when it calls at the wrong time, or when the day's API calls are used up, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from orgserver.model import times
from orgserver.model.access.hours import Hours, next_opening
from orgserver.model.errors import PolicyDenied
from orgserver.model.orgs import Org


def outside_hours(org: Org, hours: Sequence[Hours], now: datetime) -> PolicyDenied:
    """The refusal of a call outside of the hours."""
    texts = " and ".join(each.text for each in hours)
    opening = next_opening(hours, now)
    if opening is None:
        hint = f"they may work {texts}, which is at no time in the next two weeks; an administrator sets the hours"
    else:
        hint = f"they may work {texts}: next from {_say(opening, ZoneInfo(hours[0].zone))}"
    return PolicyDenied(f"agents may not work in {org.alias} at this time", code="OUTSIDE_HOURS", hint=hint)


def budget_used(org: Org, now: datetime) -> PolicyDenied:
    """The refusal of a call when the API calls of the day are used up."""
    reset = (now.astimezone(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    zone = times.zone_or_utc(org.user.time_zone) if org.user is not None else ZoneInfo("UTC")
    return PolicyDenied(
        f"the API calls that agents may make in {org.alias} today are used up",
        code="API_BUDGET_USED",
        category="rate_limited",
        hint=f"they are counted anew from {_say(reset, zone)}",
    )


def _say(instant: datetime, zone: ZoneInfo) -> str:
    """An instant in UTC, and by the clock of a zone."""
    utc = f"{instant.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    return utc if zone.key == "UTC" else f"{utc} ({instant.astimezone(zone):%a %H:%M} {zone.key})"

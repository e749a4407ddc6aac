"""When agents may work: ``Mon-Fri 08:00-18:00 Europe/Berlin``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FORM = re.compile(r"(\S+)\s+(\d\d:\d\d)-(\d\d:\d\d)\s+(\S+)")
_HINT = "hours look like 'Mon-Fri 08:00-18:00 Europe/Berlin'"


@dataclass(frozen=True, slots=True)
class Hours:
    """Days of the week, a span of each, and the time zone whose clock counts. A span over midnight is two."""

    text: str
    """As it was written, in one form."""
    days: frozenset[int]
    """0 is Monday."""
    start: time
    end: time
    """The first moment that is outside; midnight means the day's end."""
    zone: str

    def __str__(self) -> str:
        return self.text

    @classmethod
    def read(cls, text: str) -> Hours:
        """Read ``Mon-Fri 08:00-18:00 Europe/Berlin``; days may be listed with commas. ValueError says what is wrong."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(_HINT)
        days_text, start_text, end_text, zone = match.groups()
        days = frozenset(day for part in days_text.split(",") for day in _read_days(part))
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{zone} is no time zone that this machine knows, such as Europe/Berlin or UTC") from None
        start, end = _read_time(start_text), _read_time(end_text)
        if end != time() and end <= start:
            raise ValueError(f"{start_text}-{end_text} ends before it begins; give two spans for one over midnight")
        text = f"{days_text} {start_text}-{end_text} {zone}"
        return cls(text, days, start, end, zone)

    def hold(self, now: datetime) -> bool:
        """Whether an instant lies within."""
        local = now.astimezone(ZoneInfo(self.zone))
        clock = local.time()
        return local.weekday() in self.days and self.start <= clock and (self.end == time() or clock < self.end)


def _read_days(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    try:
        start = _day(first)
        end = _day(last) if dash else start
    except KeyError as error:
        raise ValueError(f"{error.args[0] or 'nothing'} is no day; there are {', '.join(DAYS)}") from None
    return [day % len(DAYS) for day in range(start, end + (len(DAYS) if end < start else 0) + 1)]


def _day(text: str) -> int:
    return {day.casefold(): number for number, day in enumerate(DAYS)}[text.casefold()]


def _read_time(text: str) -> time:
    if text == "24:00":
        return time()
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is no time of day") from None

"""When agents may work: ``Mon-Fri 08:00-18:00 Europe/Berlin``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SPAN = re.compile(r"([^\s\d]+)\s+(\d\d:\d\d)-(\d\d:\d\d)")
_FORM = re.compile(rf"({_SPAN.pattern}(?:,\s+{_SPAN.pattern})*)\s+(\S+)")
_HINT = "hours look like 'Mon-Fri 08:00-18:00 Europe/Berlin'"
_DAY_MINUTES = 24 * 60
_MINUTE = timedelta(minutes=1)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_AHEAD = 15
"""For so many days the next opening is looked for: every week is the same, but for changes of the clocks."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Days of the week, a span of each, and the time zone whose clock counts; further spans where one is not enough."""

    text: str
    """As it was written, in one form."""
    days: frozenset[int]
    """0 is Monday."""
    start: time
    end: time
    """The first moment that is outside; midnight means the day's end."""
    zone: str
    others: tuple[Hours, ...] = ()
    """Further spans of the same zone, in any of which agents may work, too: one over midnight is two."""
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _minutes: range = field(init=False, repr=False, compare=False)
    """Of the day, those within."""
    _latest: tuple[datetime, datetime, bool] = field(init=False, repr=False, compare=False)
    """The minute that was asked about last, and the answer: so asking anew costs two comparisons."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", ZoneInfo(self.zone))
        end = _minute(self.end) or _DAY_MINUTES
        object.__setattr__(self, "_minutes", range(_minute(self.start), end))
        object.__setattr__(self, "_latest", (_NEVER, _NEVER, False))

    def __str__(self) -> str:
        return self.text

    @classmethod
    def read(cls, text: str) -> Hours:
        """Read ``Mon-Fri 08:00-18:00 Europe/Berlin``; days may be listed, and spans with a comma and a space.

        ValueError says what is wrong.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(_HINT)
        zone = match.groups()[-1]
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{zone} is no time zone that this machine knows, such as Europe/Berlin or UTC") from None
        first, *others = (cls._read_span(span[1], span[2], span[3], zone) for span in _SPAN.finditer(match[1]))
        spans = ", ".join(span.text.removesuffix(f" {zone}") for span in (first, *others))
        return cls(f"{spans} {zone}", first.days, first.start, first.end, zone, tuple(others))

    @classmethod
    def _read_span(cls, days_text: str, start_text: str, end_text: str, zone: str) -> Hours:
        days = frozenset(day for part in days_text.split(",") for day in _read_days(part))
        start, end = _read_time(start_text), _read_time(end_text)
        if end != time() and end <= start:
            raise ValueError(
                f"{start_text}-{end_text} ends before it begins; over midnight it is two spans: "
                f"'{days_text} {start_text}-24:00, {_following(days)} 00:00-{end_text} {zone}'"
            )
        return cls(f"{days_text} {start_text}-{end_text} {zone}", days, start, end, zone)

    def hold(self, now: datetime) -> bool:
        """Whether an instant lies within, by the clock on the wall: an hour that comes twice counts twice."""
        since, until, answer = self._latest
        if since <= now < until:
            return answer
        local = now.astimezone(self._zone)
        answer = local.hour * 60 + local.minute in self._minutes and local.weekday() in self.days
        answer = answer or any(other.hold(now) for other in self.others)
        minute = now.replace(second=0, microsecond=0)
        object.__setattr__(self, "_latest", (minute, minute + _MINUTE, answer))
        return answer

    def is_within(self, other: Hours) -> bool:
        """Whether every moment of these hours is one of the other's, by the same clock."""
        return self.zone == other.zone and self._week() <= other._week()

    def _week(self) -> frozenset[tuple[int, int]]:
        """Each minute of a week that lies within: its day, and the minute of that."""
        own = frozenset((day, minute) for day in self.days for minute in self._minutes)
        return own.union(*(other._week() for other in self.others))  # noqa: SLF001

    def possible_openings(self, since: datetime, days: int) -> Iterator[datetime]:
        """Instants from ``since`` on at which these hours may begin: where a day's span does, or the clocks change."""
        today = since.astimezone(self._zone).date()
        for number in range(-1, days + 1):
            day = today + timedelta(days=number)
            yield from (each for each in (*self._starts(day), *_clock_changes(self._zone, day)) if each >= since)
        for other in self.others:
            yield from other.possible_openings(since, days)

    def _starts(self, day: date) -> Iterator[datetime]:
        """When the span of a day begins: twice where the clocks are set back over it."""
        for fold in (0, 1):
            yield datetime.combine(day, self.start, self._zone).replace(fold=fold).astimezone(UTC)


def next_opening(hours: Collection[Hours], now: datetime) -> datetime | None:
    """The first instant from now on at which all of these hours hold; None if there is none in two weeks."""
    if all(each.hold(now) for each in hours):
        return now
    instants = sorted({instant for each in hours for instant in each.possible_openings(now, _DAYS_AHEAD)})
    return next((instant for instant in instants if all(each.hold(instant) for each in hours)), None)


def _clock_changes(zone: ZoneInfo, day: date) -> Iterator[datetime]:
    """The instant at which the clocks of a zone change around a day, to the second."""
    before = datetime.combine(day, time(), UTC) - timedelta(hours=12)
    after = before + timedelta(days=2)
    offset = before.astimezone(zone).utcoffset()
    if after.astimezone(zone).utcoffset() == offset:
        return
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) // 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    yield after


def _minute(clock: time) -> int:
    return clock.hour * 60 + clock.minute


def _following(days: Iterable[int]) -> str:
    """The days after some days."""
    return ",".join(DAYS[day] for day in sorted((day + 1) % len(DAYS) for day in days))


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

"""What TODAY, LAST_N_DAYS:7 and their kin mean (SOQL Reference, "Date Formats and Date Literals"), in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_FIXED = {
    "YESTERDAY": ("DAY", -1),
    "TODAY": ("DAY", 0),
    "TOMORROW": ("DAY", 1),
}
_UNIT = re.compile(r"(LAST|THIS|NEXT)_(WEEK|MONTH|QUARTER|YEAR)")
_N_UNITS = re.compile(r"(LAST|NEXT)_N_(DAY|WEEK|MONTH|QUARTER|YEAR)S")
_AGO = re.compile(r"N_(DAY|WEEK|MONTH|QUARTER|YEAR)S_AGO")
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def span(  # noqa: PLR0911  # one return for each kind of word
    word: str, amount: int | None, now: datetime
) -> tuple[datetime, datetime] | None:
    """The first instant of a date word and the first one after it; None for a word that does not exist."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = timedelta(days=1)
    if word in _FIXED and amount is None:
        start = today + day * _FIXED[word][1]
        return start, start + day
    if word == "LAST_90_DAYS" and amount is None:
        return today - 90 * day, today + day
    if word == "NEXT_90_DAYS" and amount is None:
        return today + day, today + 91 * day
    if (found := _UNIT.fullmatch(word)) and amount is None:
        step = {"LAST": -1, "THIS": 0, "NEXT": 1}[found[1]]
        return _shifted(today, found[2], step), _shifted(today, found[2], step + 1)
    if (found := _N_UNITS.fullmatch(word)) and amount is not None:
        return _n_units(today, found[1], found[2], amount)
    if (found := _AGO.fullmatch(word)) and amount is not None:
        return _shifted(today, found[1], -amount), _shifted(today, found[1], 1 - amount)
    return None


def _n_units(today: datetime, direction: str, unit: str, amount: int) -> tuple[datetime, datetime]:
    if unit == "DAY":
        day = timedelta(days=1)
        if direction == "LAST":
            return today - amount * day, today + day
        return today + day, today + (amount + 1) * day
    if direction == "LAST":
        return _shifted(today, unit, -amount), _shifted(today, unit, 0)
    return _shifted(today, unit, 1), _shifted(today, unit, amount + 1)


def _shifted(today: datetime, unit: str, steps: int) -> datetime:
    """The start of the unit that lies so many units from today's."""
    if unit == "DAY":
        return today + timedelta(days=steps)
    if unit == "WEEK":  # weeks begin on Sunday
        return today - timedelta(days=(today.weekday() + 1) % 7) + timedelta(weeks=steps)
    size = _MONTHS[unit]
    first = (today.year * 12 + today.month - 1) // size * size + steps * size
    return today.replace(year=first // 12, month=first % 12 + 1, day=1)

"""What TODAY, LAST_N_DAYS:7 and their kin mean (SOQL Reference, "Date Formats and Date Literals").

Fiscal years are taken to be calendar years; weeks begin on Sunday.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

_FIXED = {
    "YESTERDAY": (-1, 0),
    "TODAY": (0, 1),
    "TOMORROW": (1, 2),
    "LAST_90_DAYS": (-90, 1),
    "NEXT_90_DAYS": (1, 91),
}
_UNIT = re.compile(r"(LAST|THIS|NEXT)_(?:FISCAL_)?(WEEK|MONTH|QUARTER|YEAR)")
_N_UNITS = re.compile(r"(LAST|NEXT)_N_(?:FISCAL_)?(DAY|WEEK|MONTH|QUARTER|YEAR)S")
_AGO = re.compile(r"N_(?:FISCAL_)?(DAY|WEEK|MONTH|QUARTER|YEAR)S_AGO")
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def span(word: str, amount: int | None, today: date) -> tuple[date, date] | None:
    """The first day of a date word and the first one after it; None for what is no date word, or beyond time."""
    try:
        return _plain(word, today) if amount is None else _counted(word, amount, today)
    except (OverflowError, ValueError):
        return None


def _plain(word: str, today: date) -> tuple[date, date] | None:
    if word in _FIXED:
        first, last = _FIXED[word]
        return today + timedelta(days=first), today + timedelta(days=last)
    match = _UNIT.fullmatch(word)
    if match is None:
        return None
    step = {"LAST": -1, "THIS": 0, "NEXT": 1}[match[1]]
    return _shifted(today, match[2], step), _shifted(today, match[2], step + 1)


def _counted(word: str, amount: int, today: date) -> tuple[date, date] | None:
    if (match := _AGO.fullmatch(word)) is not None:
        return _shifted(today, match[1], -amount), _shifted(today, match[1], 1 - amount)
    match = _N_UNITS.fullmatch(word)
    if match is None:
        return None
    if match[1] == "NEXT":
        return _shifted(today, match[2], 1), _shifted(today, match[2], amount + 1)
    # "The last n days" goes on to the end of today; the last n weeks, months and so on end before this one.
    return _shifted(today, match[2], -amount), _shifted(today, match[2], 1 if match[2] == "DAY" else 0)


def _shifted(today: date, unit: str, steps: int) -> date:
    """The first day of the unit that lies so many units from today's."""
    if unit == "DAY":
        return today + timedelta(days=steps)
    if unit == "WEEK":
        return today - timedelta(days=(today.weekday() + 1) % 7) + timedelta(weeks=steps)
    size = _MONTHS[unit]
    first = (today.year * 12 + today.month - 1) // size * size + steps * size
    return date(first // 12, first % 12 + 1, 1)

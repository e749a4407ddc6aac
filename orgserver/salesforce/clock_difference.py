"""How far this machine's clock is from Salesforce's, by the ``Date`` header of replies (RFC 9110, section 6.6.1)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

logger = logging.getLogger("orgserver.salesforce")

NOTICEABLE = timedelta(seconds=30)
"""Beyond this a clock is called off; below it, whole seconds and the way of the reply may explain the difference."""
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def describe(ahead: timedelta, whose: str = "Salesforce's") -> str:
    """A difference for people: ``this machine's clock is 1 h 2 min behind Salesforce's``."""
    return f"this machine's clock is {_length(ahead)} {'behind' if ahead < timedelta() else 'ahead of'} {whose}"


def warn(measure: Callable[[float], timedelta | None], login_url: str) -> None:
    """Say when our clock is off, by a login host's answer, which measures by what time it is here."""
    ahead = measure(time.time())
    if ahead is not None and abs(ahead) > NOTICEABLE:
        logger.warning("%s, by the answer of %s", describe(ahead), login_url)


def _length(ahead: timedelta) -> str:
    seconds = round(abs(ahead.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return _both(seconds // _MINUTE, "min", seconds % _MINUTE, "s")
    minutes = round(seconds / _MINUTE)
    if seconds < _DAY:
        return _both(minutes // _MINUTE, "h", minutes % _MINUTE, "min")
    hours = round(seconds / _HOUR)
    return _both(hours // 24, "d", hours % 24, "h")


def _both(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large:,} {unit} {small} {small_unit}" if small else f"{large:,} {unit}"

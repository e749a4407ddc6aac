"""How people write times on the command line: ISO 8601, or ``7d``, ``12h``, ``30m`` before now."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

_AGO = re.compile(r"(\d{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def parse_time(_ctx: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """Read a time; a time without an offset is UTC. Wrong usage names the option."""
    if text is None:
        return None
    match = _AGO.fullmatch(text)
    try:
        if match:
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter("give ISO 8601, such as 2026-02-20T18:00Z, or 7d, 12h, 30m", param=option) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)

"""Limits, and changes of them, in the words that a person reads."""

from __future__ import annotations

from orgserver.model.access.limit_changes import LimitChange
from orgserver.model.access.policies import CONFIRM_ABOVE, SWITCHES, Policy, option


def change_lines(before: Policy, after: Policy) -> list[str]:
    """What is another than it was, a line each: ``row-limit 50 → 20``."""
    return [_line(change) for change in before.changes(after)]


def loosening_lines(before: Policy, after: Policy) -> list[str]:
    """Of what is another, the limits that are taken away or widened."""
    loosened = before.loosened_by(after)
    return [_line(change) for change in before.changes(after) if option(change.name) in loosened]


def _line(change: LimitChange) -> str:
    nothing = _nothing(change)
    return f"{option(change.name)} {change.before or nothing} → {change.after or nothing}"


def _nothing(change: LimitChange) -> str:
    """What holds where a limit says nothing."""
    if change.name == "confirm_above":
        return str(CONFIRM_ABOVE)
    return "no" if change.name in SWITCHES else "none"

"""How much of an org's daily API calls is used: the header ``Sforce-Limit-Info`` (REST guide, "Limit Info Header")."""

from __future__ import annotations

import re

WARN_FROM = 0.9
_USAGE = re.compile(r"(?<![\w-])api-usage=(\d{1,12})/(\d{1,12})")


def usage(header: str | None) -> tuple[int, int] | None:
    """Calls used and allowed in 24 hours; None where the header does not say. Salesforce counts with some delay.

    What else it says, of bursts and of one app (``per-app-api-usage=17/250(appName=x)``), comes before or after.
    """
    match = _USAGE.search(header or "")
    return (int(match[1]), int(match[2])) if match else None


def warning(header: str | None) -> str | None:
    """A sentence for the agent when little is left."""
    used, allowed = usage(header) or (0, 0)
    if not allowed or used < WARN_FROM * allowed:
        return None
    return f"this org has used {used:,} of its {allowed:,} API calls of the last 24 hours"

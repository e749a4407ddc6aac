"""Options that the commands about principals and groups share, and what they mean.

An end is ISO 8601, or ``90d``, ``12h``, ``30m`` from now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orgserver.cli import completion
from orgserver.model.names import split_list

if TYPE_CHECKING:
    from orgserver.services.people.requests import GrantChanges

F = TypeVar("F", bound=Callable[..., Any])
_FROM_NOW = re.compile(r"(\d{1,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_GRANT = (
    "Permissions on an alias, a glob ('emea-*'), tag:NAME or '*'. Repeatable: they add up. "
    "It replaces a grant with the same selector."
)


def parse_end(_ctx: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """Read the end of something; a time without an offset is UTC. Wrong usage names the option."""
    if text is None:
        return None
    match = _FROM_NOW.fullmatch(text)
    try:
        if match:
            return datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])})
        end = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter("give ISO 8601, such as 2027-01-31, or 90d, 12h from now", param=option) from None
    return (end if end.tzinfo else end.replace(tzinfo=UTC)).astimezone(UTC)


def split_names(_ctx: click.Context, _option: click.Parameter, texts: Iterable[str]) -> tuple[str, ...]:
    """Names of an option that may be repeated, and may take several with commas between them."""
    return tuple(dict.fromkeys(name for text in texts for name in split_list(text)))


def grant_options(command: F) -> F:
    """What is granted, and until when."""
    grant = click.option(
        "--grant",
        "grants",
        multiple=True,
        metavar="SELECTOR:read,write,delete",
        help=_GRANT,
        shell_complete=completion.selectors,
    )
    until = click.option(
        "--until",
        metavar="DATE",
        callback=parse_end,
        help="When these grants end: ISO 8601 (a date is its first moment, UTC), or 90d, 12h from now.",
    )
    return grant(until(command))


def revoke_option(command: F) -> F:
    """What is taken back."""
    return click.option(
        "--revoke",
        "revoked",
        multiple=True,
        metavar="SELECTOR",
        help="Take the grant with this selector back. Repeatable.",
        shell_complete=completion.selectors,
    )(command)


def read_grant_changes(options: dict[str, Any]) -> GrantChanges:
    """What ``grant_options`` and ``revoke_option`` say; wrong usage is one line."""
    from orgserver.model.access.principals import read_selector  # noqa: PLC0415  # a shell that completes waits not
    from orgserver.services.people.requests import GrantChanges, read_grants  # noqa: PLC0415  # as above

    until, granted = options.get("until"), options.get("grants") or ()
    if until is not None and not granted:
        raise click.UsageError("--until is the end of what --grant grants, and there is none")
    try:
        grants = read_grants(granted)
    except ValueError as error:
        raise click.UsageError(f"--grant: {error}") from None
    try:
        revoked = tuple(read_selector(text) for text in dict.fromkeys(options.get("revoked") or ()))
    except ValueError as error:
        raise click.UsageError(f"--revoke: {error}") from None
    both = {each.selector.text for each in grants} & {each.text for each in revoked}
    if both:
        raise click.UsageError(f"--grant and --revoke at once for {min(both)}; --grant alone replaces what was granted")
    return GrantChanges(grants, until, revoked)

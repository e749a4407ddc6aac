"""``username_from`` of an org in a file: ``principal``, ``claim: NAME``, or a ``map:`` of principals and usernames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orgserver.cli.orgs.username_maps import check_usernames
from orgserver.cli.policies.strict_yaml import Fault
from orgserver.model.access.logins import UsernameFrom

_FORM = "is principal, claim: NAME, or map: with a username for each principal"


@dataclass(frozen=True, slots=True)
class UsernameSource:
    """What it says."""

    username_from: UsernameFrom
    usernames: Mapping[str, str] | None = None
    """Of principals, where it is a map."""


def read_username_source(value: Any) -> UsernameSource:
    """Read it; ValueError says what is wrong."""
    if value == "principal":
        return UsernameSource(UsernameFrom("principal"))
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(_FORM)
    ((kind, inner),) = value.items()
    if kind == "claim" and isinstance(inner, str) and inner:
        return UsernameSource(UsernameFrom("claim", inner))
    if kind == "map" and isinstance(inner, dict):
        return UsernameSource(UsernameFrom("map"), _read_map(inner))
    raise ValueError(_FORM)


def write_username_source(username_from: UsernameFrom, usernames: Mapping[str, str]) -> str | dict[str, Any]:
    """The same as values of a file."""
    if username_from.kind == "map":
        return {"map": dict(usernames)}
    return {"claim": username_from.claim} if username_from.kind == "claim" else "principal"


def _read_map(inner: dict[str, Any]) -> Mapping[str, str]:
    try:
        return check_usernames((0, name, text if isinstance(text, str) else "") for name, text in inner.items())
    except Fault as fault:
        raise ValueError(str(fault)) from None

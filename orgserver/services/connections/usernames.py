"""Which Salesforce user a principal is, where one key logs everybody in: what says so, and whom it is believed for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orgserver.model.access.logins import FREE_MAPPINGS, UsernameFrom
from orgserver.model.access.principals import MADE_BY_SIGN_IN, Principal
from orgserver.model.errors import ConfigError
from orgserver.model.orgs import Org
from orgserver.model.text import clean_text

_USERNAME = re.compile(r"(?=.{3,80}\Z)[!-?A-~]+@[!-,/-?A-~\-]+(?:\.[!-,/-?A-~\-]+)+")
"""The form of an e-mail address, in visible ASCII, at most 80 characters (Object Reference, ``User.Username``)."""
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Why nobody knows which Salesforce user somebody is, for that person to read."""

    reason: str


def is_username(text: str) -> bool:
    """Whether a text has the form of a Salesforce username."""
    return _USERNAME.fullmatch(text) is not None


def find_username(
    username_from: UsernameFrom, principal: Principal, *, is_registered: bool, mapped: str | None
) -> str | Unmapped:
    """The username of a principal, in lower case: Salesforce's are the same in any.

    ``is_registered``: the store knows the principal; ``mapped``: what the administrator's map says of it.
    """
    match username_from.kind:
        case "map":
            text, what = mapped, "the map of usernames does not name you"
        case "claim":
            text, what = principal.claims.get(username_from.claim or ""), _describe_missing(username_from.claim)
        case _:
            by_administrator = is_registered and not principal.name.startswith(MADE_BY_SIGN_IN)
            text, what = principal.name if by_administrator else None, "no administrator has given you your name here"
    if text is None:
        return Unmapped(what)
    return text.lower() if is_username(text) else Unmapped(f"{clean_text(text, _SHOWN)} is no Salesforce username")


def may_know(username_from: UsernameFrom, principal: Principal) -> bool:
    """Whether a mapping may know a principal, as far as that is seen without the store."""
    if username_from.kind == "map":
        return True
    return isinstance(find_username(username_from, principal, is_registered=True, mapped=None), str)


def find_change(org: Org, principal: Principal) -> str | None:
    """The username that a caller's name or claim says now, where it is another than that of the caller's login.

    A caller whose request says nothing of it, such as one with an API key, changes nothing; nor does a map, which
    is looked at when it is written.
    """
    connection, username_from = org.connection, org.username_from
    if connection is None or connection.kind != "jwt" or username_from is None or username_from.kind == "map":
        return None
    username = find_username(username_from, principal, is_registered=True, mapped=None)
    return username if isinstance(username, str) and username != connection.username.lower() else None


def refuse_open_sign_in(orgs: Iterable[Org], signin_new: str) -> None:
    """ConfigError where whoever signs in becomes a principal, and names or claims make principals Salesforce users."""
    free = sorted(
        org.alias for org in orgs if org.username_from is not None and org.username_from.kind in FREE_MAPPINGS
    )
    if signin_new == "create" and free:
        raise ConfigError(
            f"ORGSERVER_SIGNIN_NEW=create and the --username-from of {', '.join(free)} must not be together: "
            "whoever signs in could become a Salesforce user",
            hint="set ORGSERVER_SIGNIN_NEW=refuse, or give these orgs --username-from map FILE",
        )


def _describe_missing(claim: str | None) -> str:
    verified = ", which must be verified (email_verified)" if claim == "email" else ""
    return f"your access token does not say your {claim}{verified}"

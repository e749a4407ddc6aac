"""Whose login the calls to an org use, as an operator sets it: what fits together, and what gives more away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orgserver.model.access.logins import Identity, UsernameFrom
from orgserver.model.errors import EnrolmentError
from orgserver.model.orgs import AuthKind, Org

_OPENNESS: Mapping[Identity, int] = {"own": 0, "own-or-shared": 1, "shared": 2}
"""The more, the more people act as the one user of the login that all share."""
CHANGED = "the mapping of usernames was changed"
"""Why a login of somebody whom the mapping calls another now has ended."""


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """What is to be another of whose login is used; None: stays."""

    identity: Identity | None = None
    username_from: UsernameFrom | None = None
    usernames: Mapping[str, str] | None = None
    """Of principals, where they come from a map; they take the place of those that are there."""
    seen: Identity | None = None
    """The one that a person saw when they agreed that another one gives more away."""

    def apply(self, org: Org, auth: AuthKind | None = None) -> tuple[Identity, UsernameFrom | None]:
        """What an org has then, with ``auth`` as the way it logs in; EnrolmentError where that does not go together."""
        identity = self.identity or org.identity
        kept = org.username_from if identity != "shared" and (auth or org.auth) == "jwt" else None
        after = identity, self.username_from or kept
        check_identity(org.alias, auth or org.auth, *after)
        return after


def check_kept(org: Org, auth: AuthKind | None = None) -> None:
    """EnrolmentError where an org, logging in by ``auth``, does not fit the identity that it keeps."""
    try:
        check_identity(org.alias, auth or org.auth, org.identity, org.username_from)
    except EnrolmentError as error:
        source = f", with usernames from {org.username_from}" if org.username_from is not None else ""
        raise EnrolmentError(
            f"{error}; this org is known with identity {org.identity}{source}",
            hint="log in to it by the way that it has (show-org), or say with --identity whose login calls use then",
        ) from None


def check_twins(org: Org, twins: Iterable[Org], identity: Identity, username_from: UsernameFrom | None) -> None:
    """EnrolmentError where another alias of an org logs in by a way with which its new identity does not go."""
    for twin in twins:
        try:
            check_identity(twin.alias, twin.auth, identity, username_from)
        except EnrolmentError as error:
            raise EnrolmentError(
                f"{twin.alias} is the same org as {org.alias}, and its identity binds both: {error}",
                hint=f"give {twin.alias} the same way to log in (update-org --auth), or remove it",
            ) from None


def loosens(before: Identity, after: Identity) -> bool:
    """Whether more people act as the shared user, so that a person is to agree."""
    return _OPENNESS[after] > _OPENNESS[before]


def check_identity(alias: str, auth: AuthKind, identity: Identity, username_from: UsernameFrom | None) -> None:
    """EnrolmentError where nobody could log in with their own."""
    if username_from is not None and identity == "shared":
        raise EnrolmentError("a username of each principal goes with an own login", hint="add --identity own")
    if username_from is not None and auth != "jwt":
        raise EnrolmentError(
            f"{alias} logs in by {auth}: people log in themselves there, and no username is taken from elsewhere",
            hint="--username-from goes with --auth jwt, where one key logs everybody in",
        )
    if identity == "shared":
        return
    if auth == "client-credentials":
        raise EnrolmentError(
            f"{alias} logs in by client-credentials: such an app logs nobody else in",
            hint=f"give it an app that people log in by: orgserver update-org {alias} --auth web",
        )
    if auth == "jwt" and username_from is None:
        raise EnrolmentError(
            f"{alias} logs in by jwt: which user a principal is must be said",
            hint="add --username-from principal, claim:NAME or map FILE",
        )

"""Whose login the calls to an org use, as an operator sets it: what fits together, and what gives more away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orgserver.model.access.logins import Identity, UsernameFrom
from orgserver.model.errors import EnrolmentError
from orgserver.model.orgs import AuthKind, Caller, Connection, Org
from orgserver.services.tokens import login_ends
from orgserver.store.orgs import policies, rows
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

_OPENNESS: Mapping[Identity, int] = {"own": 0, "own-or-shared": 1, "shared": 2}
"""The more, the more people act as the one user of the login that all share."""
_MOST_NAMES = 20
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


def identify_in(
    tx: Transaction, store: Store, caller: Caller, command: str, org: Org, change: IdentityChange
) -> list[tuple[Org, tuple[str, ...]]]:
    """Set whose login the calls to an org use: each alias that this concerns, with what to put on record of it.

    Logins of people whom a mapping calls somebody else now end, on record. EnrolmentError where that cannot be,
    StoreError where the store must not be written so yet.
    """
    now = rows.one_in(tx, org.row_id)
    if now is None:
        raise EnrolmentError(f"{org.alias} was removed meanwhile")
    identity, username_from = change.apply(now)
    if loosens(now.identity, identity) and now.identity != change.seen:
        raise EnrolmentError(
            f"{org.alias} is known with identity {now.identity}, which gives less away than {identity}",
            hint=f"a person loosens it: orgserver update-org {org.alias} --identity {identity}",
        )
    renamed = _map_in(tx, store, now, username_from, change.usernames)
    for alias, connection in _find_unmeant_in(tx, store, now, username_from, change.usernames):
        is_entered_anew = username_from is not None  # else it stays on record as one that has ended
        login_ends.end_in(tx, store, alias, connection, CHANGED, caller, tool=command, forget=is_entered_anew)
    changed = policies.identify_in(tx, now.row_id, identity, username_from)
    after = identity, username_from
    if not changed:
        return [(now, renamed)] if renamed else []
    return [(each, (*_words(each, *after), *(renamed if each.row_id == now.row_id else ()))) for each in changed]


def _words(before: Org, identity: Identity, username_from: UsernameFrom | None) -> tuple[str, ...]:
    pairs = (
        ("identity", before.identity, identity),
        ("username_from", before.username_from or "none", username_from or "none"),
    )
    return tuple(f"{name}:{old}->{new}" for name, old, new in pairs if str(old) != str(new))


def _map_in(
    tx: Transaction, store: Store, org: Org, username_from: UsernameFrom | None, usernames: Mapping[str, str] | None
) -> tuple[str, ...]:
    """Write which username is whose; in the words of the audit log, whose is another."""
    if org.org_id is None:
        return ()
    connections = store.orgs.connections
    if username_from is None or username_from.kind != "map":
        connections.map_in(tx, org.org_id, {})
        return ()
    if usernames is None:
        return ()
    changed = [
        principal
        for principal, username in usernames.items()
        if connections.mapped_username_in(tx, org.org_id, principal) != username.lower()
    ]
    connections.map_in(tx, org.org_id, usernames)
    more = (f"and {len(changed) - _MOST_NAMES} more",) if len(changed) > _MOST_NAMES else ()
    return (*(f"username:{principal}" for principal in changed[:_MOST_NAMES]), *more)


def _find_unmeant_in(
    tx: Transaction, store: Store, org: Org, username_from: UsernameFrom | None, usernames: Mapping[str, str] | None
) -> list[tuple[Org, Connection]]:
    """The logins that the mapping no longer means, each with the alias that it is to; a new mapping means none."""
    if org.org_id is None or (username_from == org.username_from and usernames is None):
        return []
    is_same = username_from is not None and username_from == org.username_from

    def is_meant(connection: Connection) -> bool:
        if username_from is None:
            return connection.kind != "jwt"
        named = (usernames or {}).get(connection.principal, "").lower()
        return is_same and connection.kind == "jwt" and named == connection.username.lower()

    aliases = policies.aliases_in(tx, org.org_id)
    every = [(alias, each) for alias in aliases for each in store.orgs.connections.of_in(tx, row_id=alias.row_id)]
    return [(alias, each) for alias, each in every if not is_meant(each)]

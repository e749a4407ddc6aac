"""Whose login to an org a call uses: the one that all share, or the caller's own, and never anybody else's."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orgserver.model.errors import NeedsLogin
from orgserver.model.names import RowId
from orgserver.model.orgs import CLOSED_STATES, Connection, Org
from orgserver.services.tokens import token_errors
from orgserver.store.orgs.catalog import OrgSnapshot
from orgserver.store.orgs.connections import is_waiting

Connections = Mapping[tuple[RowId, str], Connection]
"""People's own logins, by org and principal; also those that have ended."""


class NotPinned(Exception):
    """A login has not said yet which org it is, registered with ``--no-verify``, or whom an assertion logs in."""

    def __init__(self, org: Org) -> None:
        super().__init__()
        self.org = org


def overlay(org: Org, principal: str, connections: Connections, twins: Collection[RowId] = ()) -> Org:
    """The org as a principal's calls meet it: with its own login laid over the shared one, or with none at all.

    Whoever has connected once never uses the shared login again, whatever has become of their own: neither by this
    alias nor by another of the same org (``twins``).
    """
    if org.identity == "shared":
        return org
    connection = connections.get((org.row_id, principal))
    if connection is not None:
        return org.with_connection(connection)
    has_connected = any((row_id, principal) in connections for row_id in twins)
    return org if org.identity == "own-or-shared" and not has_connected else org.without_login()


def find_seen(catalog: OrgSnapshot, org: Org, principal: str) -> Org:
    """The same of an org as the store has it."""
    return overlay(org, principal, catalog.connections, catalog.twins.get(org.row_id, ()))


def require(org: Org) -> None:
    """Raise LoginRequired where the caller must log in before anything can be sent."""
    error = find_problem(org)
    if error is not None:
        raise error


def find_problem(org: Org) -> NeedsLogin | None:
    """What keeps an own login from being used; None of a shared one, whose state is looked at before."""
    connection = org.connection
    if org.is_login_missing:
        return token_errors.login_missing(org)
    if connection is None:
        return None
    if is_waiting(connection):
        return token_errors.login_waits(org, connection)
    return token_errors.closed(org, org) if org.state in CLOSED_STATES else None

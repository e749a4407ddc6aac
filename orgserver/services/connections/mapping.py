"""People's logins by assertion: noted at the first use, of use once an administrator has seen whose they are."""

from __future__ import annotations

from dataclasses import dataclass

from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import EnrolmentError, NeedsLogin
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Caller, Connection, Org, OrgState
from orgserver.services.connections.usernames import Unmapped, find_change, find_username, may_know
from orgserver.services.orgs.changes import intent_on
from orgserver.services.orgs.identities import CHANGED
from orgserver.services.tokens import login_ends
from orgserver.store.orgs import rows
from orgserver.store.people import changes
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, to_datetime
from orgserver.vault.ring import retry_behind

CONFIRM, ENTER = "connections", "connect"
"""The tools of the entries."""
WAITS = "an administrator must confirm whose login it is"
BY_MAP = "map"
"""Who confirmed a login that stands in the administrator's map."""
USERNAME_TAKEN, NOT_MAPPED = "USERNAME_TAKEN", "NOT_MAPPED"
_HINTS = {
    NOT_MAPPED: "orgserver update-org {alias} --identity {identity} --username-from map FILE, with you in the file "
    "(show-org {alias} says how it is now)",
    USERNAME_TAKEN: "orgserver connections --org {alias}, to see whose it is",
}
"""What is done about each refusal."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    code: str
    reason: str


class Mappings:
    """Notes and confirms logins by assertion."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connections = store.orgs.connections

    def is_due(self, caller: Caller, org: Org) -> bool:
        """Whether it is still to be noted who a caller is, or the mapping means another now than was noted."""
        if org.username_from is None:
            return False
        if org.connection is None and not org.is_login_missing:  # who is not mapped uses the login that all share
            return may_know(org.username_from, caller.principal)
        return org.is_login_missing or find_change(org, caller.principal) is not None

    async def enter(self, caller: Caller, org: Org) -> None:
        """Note which Salesforce user a caller is who has no login yet, or whom the mapping calls another now.

        Raises NeedsLogin where nobody can tell who the caller is, or it is somebody else's user. Unless the caller
        stands in the map, the login waits for an administrator. Whom the mapping does not know where the shared login
        may be used goes on with that.
        """
        if org.identity == "own-or-shared" and not await self._knows(caller, org):
            return
        noted = await retry_behind(lambda: self._store.database.write(lambda tx: self._enter_in(tx, caller, org)))
        if isinstance(noted, _Refusal):
            raise _refused(org, noted)
        if noted is not None and find_change(org.with_connection(noted), caller.principal) is not None:
            raise _refused(org, _Refusal(NOT_MAPPED, "you may not become whom the mapping means now"))

    async def _knows(self, caller: Caller, org: Org) -> bool:
        """Whether a map names the caller: most callers may stand in none, and cost no more than this look."""
        if org.username_from is None or org.username_from.kind != "map" or org.org_id is None:
            return True
        async with self._store.database.reading() as connection:
            name = caller.principal.name
            return await self._connections.mapped_username(connection, org.org_id, name) is not None

    async def confirm(self, caller: Caller, org: Org, principal: str, username: str) -> Connection:
        """Let a login be used, by an administrator who has seen this username; EnrolmentError where that cannot be."""
        return await retry_behind(
            lambda: self._store.database.write(lambda tx: self._confirm_in(tx, caller, org, principal, username))
        )

    def _enter_in(self, tx: Transaction, caller: Caller, seen: Org) -> Connection | _Refusal | None:
        """The login that is there now; None where the org takes no mapping any more, so the call begins anew."""
        org, principal = rows.one_in(tx, seen.row_id), caller.principal
        if org is None or org.org_id is None or org.identity == "shared" or org.username_from is None:
            return None
        is_registered = changes.is_enabled_in(tx, principal.name)
        mapped = self._connections.mapped_username_in(tx, org.org_id, principal.name)
        username = find_username(org.username_from, principal, is_registered=is_registered, mapped=mapped)
        there = self._connections.find_in(tx, org.row_id, principal.name)
        if there is not None and (isinstance(username, Unmapped) or there.username.lower() == username):
            return there
        if isinstance(username, Unmapped):
            return _Refusal(NOT_MAPPED, username.reason) if org.identity == "own" else None
        if org.auth != "jwt":
            return _Refusal(NOT_MAPPED, "it is not logged in to with a key any more")
        if self._connections.username_is_taken_in(tx, org.org_id, username, principal.name):
            return _Refusal(USERNAME_TAKEN, f"{username} is another person's login already")
        if there is not None:
            login_ends.end_in(tx, self._store, org, there, CHANGED, caller, tool=ENTER, forget=True)
        return self._add_in(tx, caller, org, username)

    def _add_in(self, tx: Transaction, caller: Caller, org: Org, username: str) -> Connection:
        connection = Connection(
            id=RowId(new_id()),
            row_id=org.row_id,
            principal=caller.principal.name,
            kind="jwt",
            user=None,
            username=username,
            state=OrgState.NEEDS_LOGIN,
            cause=WAITS,
            problem=None,
            created_at=to_datetime(tx.now),
            refreshed_at=None,
        )
        self._connections.add_in(tx, connection, None, None)
        if org.username_from is not None and org.username_from.kind == "map":
            self._connections.confirm_in(tx, connection.key, BY_MAP)
        words = ("connection", f"username:{username}")
        self._store.audit.record_in(tx, intent_on(caller, ENTER, org).about(words), Completion(Outcome.SUCCEEDED))
        return self._connections.find_in(tx, org.row_id, connection.principal) or connection

    def _confirm_in(self, tx: Transaction, caller: Caller, seen: Org, principal: str, username: str) -> Connection:
        org, connection = rows.one_in(tx, seen.row_id), self._connections.find_in(tx, seen.row_id, principal)
        if org is None or org.org_id is None or connection is None or connection.kind != "jwt":
            raise EnrolmentError(
                f"{principal} has no login to {seen.alias} that waits", hint=f"orgserver connections --org {seen.alias}"
            )
        if org.identity == "shared" or org.username_from is None or org.auth != "jwt":
            raise EnrolmentError(f"{seen.alias} takes no logins of people by its key any more")
        if connection.username != username:
            raise EnrolmentError(
                f"{principal} would be {connection.username} in {seen.alias} by now, no longer {username}",
                hint="look again, then confirm",
            )
        if self._connections.username_is_taken_in(tx, org.org_id, username, principal):
            raise EnrolmentError(
                f"{username} is another principal's login to {seen.alias} already",
                hint=f"orgserver disconnect-org {seen.alias} --principal NAME --forget",
                outcome="denied",
                code=USERNAME_TAKEN,
            )
        self._connections.confirm_in(tx, connection.key, caller.principal.name)
        intent = intent_on(caller, CONFIRM, org).about(("confirmed", f"username:{username}", f"principal:{principal}"))
        self._store.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED))
        return self._connections.find_in(tx, org.row_id, principal) or connection


def _refused(org: Org, refusal: _Refusal) -> NeedsLogin:
    return NeedsLogin(
        f"nobody can tell which Salesforce user you are in {org.alias}: {refusal.reason}",
        code=refusal.code,
        hint=f"an administrator runs: {_HINTS[refusal.code].format(alias=org.alias, identity=org.identity)}",
    )

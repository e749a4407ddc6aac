"""Sessions of sign-in: who is signed in where, their end, and what goes with it, each on record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from orgserver.model.access.principals import Principal
from orgserver.model.errors import PeopleError
from orgserver.model.orgs import Caller
from orgserver.services.people import differences
from orgserver.services.people.differences import Update
from orgserver.services.signin.entries import REVOKE_SESSION, SIGN_IN
from orgserver.services.tokens import login_ends
from orgserver.store.people import claims, records
from orgserver.store.session import Store
from orgserver.store.signin import sweep
from orgserver.store.signin.rows import Session
from orgserver.store.transaction import Transaction

REVOKED, SIGNED_OUT = "revoked", "signed out"
"""Why a session ended."""
_NOBODY = Caller(Principal("orgserver"), "http")


class SignInSessions:
    """Reads and ends of sessions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sessions = store.signin_sessions

    async def all(self, principal: str | None = None, *, ended: bool = False) -> list[Session]:
        """The live ones, oldest first; with ``ended`` those too that are over."""
        async with self._store.database.reading() as connection:
            return await self._sessions.all(connection, principal, ended)

    async def newest(self, limit: int, principal: str | None = None) -> tuple[list[Session], int]:
        """The live ones that began last, the newest first, and how many there are in all."""
        async with self._store.database.reading() as connection:
            sessions = await self._sessions.newest(connection, principal, limit)
            return sessions, await self._sessions.count(connection, principal)

    async def count(self) -> int:
        """How many are live."""
        async with self._store.database.reading() as connection:
            return await self._sessions.count(connection)

    async def names(self) -> dict[str, str]:
        """What the provider called each principal's person last."""
        async with self._store.database.reading() as connection:
            return await self._sessions.names(connection)

    async def find(self, session_id: str) -> Session | None:
        """The live one of this id."""
        async with self._store.database.reading() as connection:
            matches = await self._sessions.find(connection, session_id, 2)
        return next((each for each in matches if each.id == session_id), None)

    async def one(self, beginning: str) -> Session:
        """The live one whose id begins so; PeopleError where there is none, or are several."""
        async with self._store.database.reading() as connection:
            matches = await self._sessions.find(connection, beginning.lower(), 2) if beginning else []
        if not matches:
            raise PeopleError(f"there is no session {beginning}", hint="orgserver list-sessions shows those that are")
        if len(matches) > 1:
            raise PeopleError(f"several sessions begin with {beginning}", hint="give more of the id")
        return matches[0]

    async def end(self, caller: Caller, session_id: str, *, tool: str = REVOKE_SESSION, why: str = REVOKED) -> bool:
        """End one now, in every process; False if it was over."""
        return bool(await self.end_all(caller, (session_id,), tool=tool, why=why))

    async def end_all(
        self, caller: Caller, session_ids: Iterable[str], *, tool: str = REVOKE_SESSION, why: str = REVOKED
    ) -> list[str]:
        """End some at once; those that were not over."""
        end = partial(end_in, store=self._store, caller=caller, tool=tool, why=why)
        ids = tuple(session_ids)
        return await self._store.database.write(lambda tx: [each for each in ids if end(tx, session_id=each)])

    async def sweep(self) -> int:
        """Take out what is over, and take whoever has no session left out of their claims' groups."""
        return await self._store.database.write(self._sweep_in)

    def _sweep_in(self, tx: Transaction) -> int:
        count = sweep.sweep_in(tx)
        for principal in sweep.principals_without_session_in(tx):
            with record_groups_in(tx, self._store, _NOBODY, SIGN_IN, principal):
                claims.clear_in(tx, principal)
        return count


def end_in(tx: Transaction, *, store: Store, caller: Caller, session_id: str, tool: str, why: str) -> bool:
    """End a session, on record; False if it was over. ``tool`` is what ended it, ``why`` is told in its entry."""
    session = store.signin_sessions.find_in(tx, session_id)
    if session is None:
        return False
    with record_groups_in(tx, store, caller, tool, session.principal):
        if not store.signin_sessions.end_in(tx, session_id, why):
            return False
        record = store.audit.record_in
        differences.record_sessions_in(tx, record, caller, tool, session.principal, [session_id], why)
    return True


@contextmanager
def record_groups_in(tx: Transaction, store: Store, caller: Caller, tool: str, principal: str) -> Iterator[None]:
    """Put on record which groups a principal is in after what is done within, if they are others.

    Its own logins to orgs in which it may do nothing any more end.
    """
    find: Callable[[], records.PrincipalRecord | None] = partial(records.principal_in, tx, principal)
    before = find()
    yield
    after = find()
    if before is not None and after is not None and before != after:
        differences.record_in(tx, store.audit.record_in, caller, tool, Update(before, after))
        login_ends.end_unreachable_in(tx, store, caller, tool, principals=(principal,))

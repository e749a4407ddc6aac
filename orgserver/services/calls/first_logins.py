"""What must be known of a login before its first call is on record: that it is there, and whose it is."""

from __future__ import annotations

from typing import Any, Protocol

from orgserver.model.errors import CallError, LoginRequired, NotSent, OrgserverError
from orgserver.model.orgs import Caller, Org
from orgserver.services.calls import logins
from orgserver.services.calls.access import Access
from orgserver.services.calls.logins import NotPinned
from orgserver.services.calls.plan import Call, Execution
from orgserver.services.tokens import token_errors
from orgserver.store.calls.idempotency import IdempotencyKey, is_answered
from orgserver.store.session import Store


class Mappings(Protocol):
    """Says which Salesforce user a caller is in an org where one key logs everybody in."""

    def is_due(self, caller: Caller, org: Org) -> bool:
        """Whether that is still to be noted of this caller, or another is noted than the mapping means now."""

    async def enter(self, caller: Caller, org: Org) -> None:
        """Note it. NeedsLogin where that login is of no use yet; nothing where the mapping does not know the caller."""


_ENDS = (LoginRequired.code, token_errors.RACE)
"""What a call is told whose login ended, or was replaced, before it had a token."""


class NotEntered(NotPinned):
    """It is still to be noted whom a mapping means."""


class FirstLogins:
    """Asks for logins, and lets each be pinned before anything is sent by it."""

    def __init__(self, store: Store, access: Access, mappings: Mappings | None = None) -> None:
        self._store = store
        self._access = access
        self._mappings = mappings

    def check_entered(self, execution: Execution[Any], org: Org) -> None:
        """Raise NotEntered where a mapping says whose login it is, and that is still to be noted of the caller."""
        if org.username_from is None or self._mappings is None or execution.is_entered:
            return
        if self._mappings.is_due(execution.call.caller, org):
            raise NotEntered(org)

    async def require(self, org: Org, key: IdempotencyKey | None) -> None:
        """Raise LoginRequired where the caller must log in first, but for a call that was made and answered before.

        NotPinned where it is still to be learnt whom an assertion logs in.
        """
        if org.identity == "shared":
            return
        problem = logins.find_problem(org)
        if problem is not None and key is not None and await self._is_answered(key):
            return
        if problem is not None:
            raise problem
        if org.connection is not None and org.user is None:
            raise NotPinned(org)

    async def learn(self, execution: Execution[Any], unpinned: NotPinned) -> None:
        """Learn what is missing. CallError where it cannot be learnt, StoreError where the store is away."""
        if isinstance(unpinned, NotEntered) and self._mappings is not None:
            execution.is_entered = True
            await self._mappings.enter(execution.call.caller, unpinned.org)
            await self._access.reload()
        else:
            await self._access.pin(unpinned.org)

    async def explain(self, call: Call, org: Org, error: CallError) -> CallError:
        """What to say of a call whose own login was of no use when its token was asked for; other errors as they are.

        The login may have ended since it was resolved, or another may have taken its place: what is to be done hangs
        on how things stand now.
        """
        if not org.login.is_own or not isinstance(error, NotSent) or error.code not in _ENDS:
            return error
        try:
            await self._access.is_outdated(None)
            now, _ = await self._access.org(call.caller, call.org)
        except OrgserverError:  # it may do nothing there any more, or nobody can tell
            return error
        if now.row_id != org.row_id:
            return error
        is_same = now.login == org.login
        return logins.find_problem(now) or (error if is_same else token_errors.login_replaced(now))

    async def _is_answered(self, key: IdempotencyKey) -> bool:
        async with self._store.database.reading() as connection:
            return await is_answered(connection, key, self._store.database.clock())

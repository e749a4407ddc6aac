"""Who may allow what waits for a person: people what they asked for by their own sign-in, admins what others did.

A yes needs a person who has just shown the identity provider who they are. On pages and in their addresses a request
has a handle in place of its code: whoever learns the code could allow the call at a terminal.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import Enum, auto

from orgserver.model.errors import ConfigError
from orgserver.model.orgs import Caller
from orgserver.services.calls.access import Access
from orgserver.services.calls.approvals import Approving, Request
from orgserver.store.session import Store

FRESH_SECONDS = 300
"""How long after a sign-in at the identity provider a person may say yes."""
LEEWAY_SECONDS = 60
"""By which the provider's clock may be ahead of ours."""
_HANDLE_BYTES = 16


@dataclass(frozen=True, slots=True)
class PersonalRequest:
    """A request as one person sees it."""

    handle: str
    request: Request
    is_own: bool
    may_allow: bool
    """Not a call that was made with the person's own API key: whoever holds that key may be an agent."""


class ApprovalRefusal(Enum):
    """Why nothing was allowed."""

    NOT_FRESH = auto()
    """The sign-in is too long ago, or nobody knows when it was."""
    NOT_YOURS = auto()
    GONE = auto()
    """It does not wait any more."""


class Approvers:
    """The requests that wait, for people who are signed in."""

    def __init__(self, store: Store, access: Access) -> None:
        self._approving = Approving(store, access)
        self._access = access
        self._mac = store.cursors.make_mac()
        self._clock = store.database.clock

    async def waiting(self, caller: Caller) -> list[PersonalRequest]:
        """What waits for a person's yes, or has one and was not used yet; an admin sees everybody's."""
        is_admin = await self._access.has_role(caller.principal, "admin")
        name = caller.principal.name
        return [
            self._show(each, name, is_admin)
            for each in await self._approving.waiting()
            if is_admin or each.principal == name
        ]

    async def find(self, caller: Caller, handle: str) -> PersonalRequest | None:
        """The request of a handle, if this person may see it."""
        requests = await self.waiting(caller)
        text = handle.encode("utf-8", "replace")
        return next((each for each in requests if hmac.compare_digest(each.handle.encode(), text)), None)

    async def approve(self, caller: Caller, handle: str, auth_time: int | None) -> Request | ApprovalRefusal:
        """Let exactly this call pass once, on record; ``auth_time`` is when the person showed who they are."""
        personal = await self.find(caller, handle)
        if personal is None or personal.request.approved_at is not None:
            return ApprovalRefusal.GONE
        if not personal.may_allow:
            return ApprovalRefusal.NOT_YOURS
        if not self.is_fresh(auth_time):
            return ApprovalRefusal.NOT_FRESH
        try:
            await self._approving.approve(caller, personal.request)
        except ConfigError:  # somebody else was faster, or its time has run out
            return ApprovalRefusal.GONE
        return personal.request

    def is_fresh(self, auth_time: int | None) -> bool:
        """Whether a sign-in is so short ago that the person may say yes."""
        if auth_time is None:
            return False
        age = self._clock() / 1_000_000 - auth_time
        return -LEEWAY_SECONDS <= age <= FRESH_SECONDS

    def _show(self, request: Request, principal: str, is_admin: bool) -> PersonalRequest:
        is_own = request.principal == principal
        may_allow = request.session_id is not None if is_own else is_admin
        return PersonalRequest(self._make_handle(request.code), request, is_own, may_allow)

    def _make_handle(self, code: str) -> str:
        return self._mac(b"approval\0" + code.encode())[:_HANDLE_BYTES].hex()

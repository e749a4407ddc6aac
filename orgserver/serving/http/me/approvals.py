"""A person's yes to a call that waits: ``/me/approvals/HANDLE/approve``."""

from __future__ import annotations

from orgserver.services.people.approvers import ApprovalRefusal, Approvers
from orgserver.services.signin.options import ME_PATH
from orgserver.serving.http.me.visits import Visit, find_nothing, read_id
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin.returns import see_other

SIGN_IN_AGAIN = f"{ME_PATH}/signin?purpose=approve"


class ApprovalPages:
    """Takes it."""

    def __init__(self, pages: Pages, approvers: Approvers) -> None:
        self._pages = pages
        self._approvers = approvers

    async def approve(self, visit: Visit) -> Reply:
        """Let one call pass once, if the person has just signed in; else have them do that first."""
        handle = read_id(visit.path, "approvals", "approve")
        if handle is None:
            return find_nothing(self._pages)
        answer = await self._approvers.approve(visit.caller, handle, visit.session.auth_time)
        if answer is ApprovalRefusal.NOT_FRESH:
            return see_other(SIGN_IN_AGAIN)
        if answer is ApprovalRefusal.NOT_YOURS:
            return self._pages.fail(
                403,
                "This is not yours to allow",
                "The call was made with an API key of yours, and whoever holds that key may be the agent itself.",
                "Ask an operator of this server, or another admin.",
            )
        if answer is ApprovalRefusal.GONE:
            return self._pages.fail(
                410,
                "This does not wait any more",
                "It was allowed already, or its time has run out.",
                "If the agent still needs it, have it make its call again; then look at /me on this server.",
            )
        return see_other(ME_PATH)

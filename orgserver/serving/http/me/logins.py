"""A person's own logins to orgs on ``/me``: ``/me/logins/ORG/connect``, ``…/replace`` and ``…/end``."""

from __future__ import annotations

from orgserver.services.connections.own_logins import OwnLogins
from orgserver.services.signin.options import ME_PATH
from orgserver.serving.http.me.visits import Visit, find_nothing, read_id
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin.returns import see_other

PATH = f"{ME_PATH}/logins/"
_CONNECT, _REPLACE, _END = "connect", "replace", "end"


class LoginPages:
    """Leads to a new one, and ends one."""

    def __init__(self, pages: Pages, logins: OwnLogins) -> None:
        self._pages = pages
        self._logins = logins

    async def change(self, visit: Visit) -> Reply:
        """Answer a button."""
        for verb in (_CONNECT, _REPLACE):
            row_id = read_id(visit.path, "logins", verb)
            if row_id is not None:
                return await self._connect(visit, row_id, replace=verb == _REPLACE)
        row_id = read_id(visit.path, "logins", _END)
        if row_id is None or not await self._logins.end(visit.caller, row_id):
            return find_nothing(self._pages)
        return see_other(ME_PATH)

    async def _connect(self, visit: Visit, row_id: str, *, replace: bool) -> Reply:
        url = await self._logins.make_link(visit.caller, row_id, replace=replace)
        return see_other(url) if url is not None else find_nothing(self._pages)

"""Sessions: a person's own on ``/me``, everybody's for an admin on ``/me/sessions``; each can be ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from orgserver.services.signin.options import ME_PATH
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.serving.http.me.visits import Visit, find_nothing, read_id
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin.returns import see_other
from orgserver.store.signin.rows import Session
from orgserver.store.transaction import to_datetime

PATH = f"{ME_PATH}/sessions"
MOST = 200
"""That a page shows."""


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session as a page tells it."""

    id: str
    client: str | None
    """None: this server's own pages, in a browser."""
    host: str | None
    """Where the client is."""
    principal: str
    person: str
    scopes: tuple[str, ...]
    created_at: datetime
    used_at: datetime | None
    expires_at: datetime
    is_this: bool
    """The one of the browser that looks."""


class SessionPages:
    """Shows and ends them."""

    def __init__(self, pages: Pages, sessions: SignInSessions) -> None:
        self._pages = pages
        self._sessions = sessions

    async def show(self, visit: Visit) -> Reply:
        """Everybody's."""
        if not visit.is_admin:
            return find_nothing(self._pages)
        sessions, count = await self._sessions.newest(MOST)
        newest = [show_session(each, visit.session.id) for each in sessions]
        return await asyncio.to_thread(self._pages.render, "sessions.html", me=visit, sessions=newest, count=count)

    async def end(self, visit: Visit) -> Reply:
        """End one: ``/me/sessions/ID/end``. It is the person's own, or the person is an admin."""
        session_id = read_id(visit.path, "sessions", "end")
        session = await self._sessions.find(session_id) if session_id is not None else None
        is_own = session is not None and session.principal == visit.caller.principal.name
        if session_id is None or session is None or not (is_own or visit.is_admin):
            return find_nothing(self._pages)
        await self._sessions.end(visit.caller, session_id)
        return see_other(PATH if visit.is_admin and visit.parameters.one("from") == "sessions" else ME_PATH)


def show_session(session: Session, this_id: str) -> ShownSession:
    """A session as a page tells it."""
    return ShownSession(
        session.id,
        session.client_name or session.client_id,
        urlsplit(session.redirect_uri).netloc if session.redirect_uri is not None else None,
        session.principal,
        session.person,
        tuple(each.removeprefix("orgs:") for each in session.scopes),
        to_datetime(session.created_at),
        to_datetime(session.used_at) if session.used_at is not None else None,
        to_datetime(session.expires_at),
        session.id == this_id,
    )

"""``/me`` itself: what waits for a person, and what is theirs; signing in and out, and ending keys."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope

from orgserver.oauth.provider.refusals import ProviderUnavailable
from orgserver.services.connections.own_logins import OwnLogins
from orgserver.services.people.approvers import Approvers
from orgserver.services.people.holdings import Holdings
from orgserver.services.signin.browser.me_sessions import Browsers, Purpose
from orgserver.services.signin.options import ME_PATH
from orgserver.services.signin.parameters import BadParameters
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.me.sessions import show_session
from orgserver.serving.http.me.visits import Visit, find_nothing, read_id
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply, retry_after
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.forms import read_query
from orgserver.serving.http.signin.returns import see_other

MOST_ORGS, MOST_REQUESTS = 200, 100
"""That a page shows."""
_RETRY_SECONDS = 60
_PURPOSES: dict[str, Purpose] = {"open": "open", "approve": "approve", "connect": "connect"}


class OwnPages:
    """Answers them."""

    def __init__(
        self,
        pages: Pages,
        browsers: Browsers,
        holdings: Holdings,
        approvers: Approvers,
        sessions: SignInSessions,
        logins: OwnLogins,
    ) -> None:
        self._pages = pages
        self._browsers = browsers
        self._holdings = holdings
        self._approvers = approvers
        self._sessions = sessions
        self._logins = logins

    async def show(self, visit: Visit) -> Reply:
        """All of it."""
        name = visit.caller.principal.name
        sessions = await self._sessions.all(name)
        requests = await self._approvers.waiting(visit.caller)
        return await asyncio.to_thread(
            self._pages.render,
            "me.html",
            me=visit,
            requests=requests[:MOST_REQUESTS],
            request_count=len(requests),
            is_fresh=self._approvers.is_fresh(visit.session.auth_time),
            own=await self._holdings.read(visit.caller, MOST_ORGS),
            logins=await self._logins.read(visit.caller),
            sessions=[show_session(each, visit.session.id) for each in sessions],
        )

    async def begin(self, exchange: Exchange, _admitted: Admitted, _receive: Receive) -> Reply:
        """Send a browser to the identity provider; ``purpose`` is a word, never an address."""
        purpose = _read_purpose(exchange.scope)
        if purpose is None:
            return self._pages.fail(
                400, "This address leads nowhere", "It is none of ours.", "Open /me on this server."
            )
        browser = cookies.read_cookie(exchange.scope, cookies.SIGN_IN) or cookies.make_cookie_value()
        try:
            url = await self._browsers.begin(purpose, browser)
        except ProviderUnavailable as error:
            return self._pages.fail(
                503,
                "Your company's sign-in does not answer",
                "You are sent there to sign in, and it cannot be reached now.",
                "Try again in a minute. If it stays so, tell whoever looks after this server.",
                headers=retry_after(error.retry_after),
            )
        if url is None:
            return self._pages.fail(
                503,
                "Too many sign-ins",
                "Many sign-ins were begun, and not ended.",
                "End the ones that you have begun, or wait ten minutes.",
                headers=retry_after(_RETRY_SECONDS),
            )
        cookie = cookies.keep_cookie(cookies.SIGN_IN, browser, cookies.SIGN_IN_SECONDS)
        return see_other(url, cookie)

    async def sign_out(self, visit: Visit) -> Reply:
        """End this browser's session."""
        await self._browsers.end(visit.session, visit.caller)
        return see_other(ME_PATH, cookies.drop_cookie(cookies.ME))

    async def end_key(self, visit: Visit) -> Reply:
        """End a key: ``/me/keys/ID/end``."""
        key_id = read_id(visit.path, "keys", "end")
        if key_id is None or not await self._holdings.end_key(visit.caller, key_id):
            return find_nothing(self._pages)
        return see_other(ME_PATH)


def _read_purpose(scope: Scope) -> Purpose | None:
    try:
        return _PURPOSES.get(read_query(scope).one("purpose") or "")
    except BadParameters:
        return None

"""Browsers of people at /me: their sessions, and what shows that a form was filled in on a page of ours.

A session's cookie is a secret of which the store has the digest. It opens pages, never MCP.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from orgserver.model.access.principals import Principal
from orgserver.model.digests import digest_text
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.people.identities import Identities
from orgserver.services.signin.browser.authorization import ProviderUrls, begin_sign_in, make_request
from orgserver.services.signin.browser.form_tokens import FormTokens
from orgserver.services.signin.entries import SIGN_OUT
from orgserver.services.signin.people.sessions import SIGNED_OUT, SignInSessions
from orgserver.store.session import Store
from orgserver.store.signin.rows import Session
from orgserver.store.signin.token_reader import TokenReader
from orgserver.store.transaction import to_datetime

Purpose = Literal["open", "approve", "connect"]
"""What somebody signs in at /me for: to see it, to allow something, or to go on with a link to a login of their own."""


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """Somebody who is signed in at /me."""

    id: str
    principal: Principal
    person: str
    """As the provider calls them."""
    auth_time: int | None
    """When they last showed the provider who they are, in seconds since 1970 UTC."""
    expires_at: datetime


class Browsers:
    """Begins, finds and ends them."""

    def __init__(self, store: Store, identities: Identities, provider: ProviderUrls) -> None:
        self._store = store
        self._identities = identities
        self._provider = provider
        self._sessions = SignInSessions(store)
        self._reader = TokenReader(store.database)
        self._form_tokens = FormTokens(store.cursors)

    async def find(self, cookie: Secret | None) -> BrowserSession | None:
        """Whose browser brings this cookie; None without a live session, and for a principal who is disabled."""
        if cookie is None:
            return None
        session = await self._reader.find_browser(digest_text(cookie.reveal()))
        if session is None or session.principal in (await self._identities.current()).disabled:
            return None
        return _show(session)

    async def begin(self, purpose: Purpose, browser: Secret) -> str | None:
        """Where this browser's person signs in; None where too many sign-ins are under way.

        To ``approve`` the provider is to ask them anew. Raises what the provider raises where it is away.
        """
        request = replace(make_request("me"), purpose=purpose)
        return await begin_sign_in(self._store, self._provider, request, browser)

    async def end(self, session: BrowserSession, caller: Caller) -> None:
        """Sign out, on record."""
        await self._sessions.end(caller, session.id, tool=SIGN_OUT, why=SIGNED_OUT)

    def make_csrf(self, purpose: str, id_: str, cookie: Secret) -> str:
        """What a form of ours brings: it holds for one purpose, one request or session, and one browser."""
        return self._form_tokens.make(purpose, id_, cookie)

    def check_csrf(self, text: str | None, purpose: str, id_: str, cookie: Secret) -> bool:
        """Whether a form brings what our page gave it."""
        return self._form_tokens.check(text, purpose, id_, cookie)


def _show(session: Session) -> BrowserSession:
    return BrowserSession(
        session.id,
        Principal(session.principal),
        session.person,
        session.auth_time,
        to_datetime(session.expires_at),
    )

"""One request of somebody who is signed in at ``/me``, and what every page there shows of them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Receive

from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.calls.access import Access
from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.services.signin.browser.me_sessions import Browsers, BrowserSession
from orgserver.services.signin.entries import ME_LABEL
from orgserver.services.signin.options import ME_PATH
from orgserver.services.signin.parameters import BadParameters, Parameters
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.forms import UnreadableBody, read_form, read_query

CSRF = "me"


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks, for what."""

    session: BrowserSession
    caller: Caller
    is_admin: bool
    is_auditor: bool
    csrf: str
    """For the forms of the page."""
    path: str
    parameters: Parameters
    """Of the form, or of the URL."""


Answer = Callable[[Visit], Awaitable[Reply]]


class Visits:
    """Finds out who asks; whoever is nobody is answered here."""

    def __init__(self, access: Access, pages: Pages, browsers: Browsers, failures: AuthFailures) -> None:
        self._access = access
        self._pages = pages
        self._browsers = browsers
        self._failures = failures

    def reading(self, answer: Answer) -> Callable[[Exchange, Admitted, Receive], Awaitable[Reply]]:
        """What answers requests for a page."""

        async def read(exchange: Exchange, _admitted: Admitted, _receive: Receive) -> Reply:
            cookie = cookies.read_cookie(exchange.scope, cookies.ME)
            session = await self._browsers.find(cookie)
            if cookie is None or session is None:
                return self._pages.render("signin.html")
            try:
                parameters = read_query(exchange.scope)
            except BadParameters as error:
                return self._refuse(400, "This address cannot be read", error.text)
            return await answer(await self._make(exchange, session, cookie, parameters))

        return read

    def changing(self, answer: Answer) -> Callable[[Exchange, Admitted, Receive], Awaitable[Reply]]:
        """What answers forms: only those that were filled in on a page of this session, in this browser."""

        async def change(exchange: Exchange, _admitted: Admitted, receive: Receive) -> Reply:
            cookie = cookies.read_cookie(exchange.scope, cookies.ME)
            session = await self._browsers.find(cookie)
            if cookie is None or session is None:
                return self._refuse(403, "You are signed out", "Your sign-in here is over, so nothing was done.")
            try:
                form = await read_form(exchange.scope, receive)
            except UnreadableBody as error:
                return self._refuse(error.status, "This form cannot be read", error.text)
            except BadParameters as error:
                return self._refuse(400, "This form cannot be read", error.text)
            if not self._browsers.check_csrf(form.one("csrf"), CSRF, session.id, cookie):
                name = session.principal.name
                await self._failures.record(AuthFailure(exchange.source, "SIGNIN_FORM", 403, principal=name))
                text = "This form was not filled in on a page of this server in this sign-in, so nothing was done."
                return self._refuse(403, "This form is not from here", text)
            return await answer(await self._make(exchange, session, cookie, form))

        return change

    async def _make(self, exchange: Exchange, session: BrowserSession, cookie: Secret, parameters: Parameters) -> Visit:
        exchange.principal = session.principal.name
        return Visit(
            session,
            Caller(session.principal, "http", label=ME_LABEL),
            await self._access.has_role(session.principal, "admin"),
            await self._access.has_role(session.principal, "auditor"),
            self._browsers.make_csrf(CSRF, session.id, cookie),
            exchange.scope["path"],
            parameters,
        )

    def _refuse(self, status: int, title: str, text: str) -> Reply:
        return self._pages.fail(status, title, f"{text[0].upper()}{text[1:]}", "Open /me on this server and try again.")


def find_nothing(pages: Pages) -> Reply:
    """For what is not there, and for what this person may not see."""
    text = "It has ended meanwhile, or it is not yours to see."
    return pages.fail(404, "There is nothing here", text, "Open /me on this server.")


def read_id(path: str, what: str, verb: str) -> str | None:
    """The id in ``/me/WHAT/ID/VERB``; None for any other path."""
    match = re.fullmatch(rf"{ME_PATH}/{what}/([0-9a-f-]{{1,64}})/{verb}", path)
    return match[1] if match else None

"""Whose browser it is that comes with a link, and why one that is refused is told so, on record."""

from __future__ import annotations

from starlette.types import Receive

from orgserver.model.secret import Secret
from orgserver.services.connections.entries import Refusals
from orgserver.services.connections.refusals import Refusal
from orgserver.services.connections.visitors import Visitor
from orgserver.services.signin.browser.form_tokens import FormTokens
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.services.signin.parameters import BadParameters, Parameters
from orgserver.serving.http.connect.failures import make_failure
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.forms import UnreadableBody, read_form
from orgserver.store.orgs.connect_links import ConnectLink


class Visitors:
    """Finds out who comes; ``browsers`` knows who is signed in, where people sign in at this server."""

    def __init__(self, pages: Pages, refusals: Refusals, form_tokens: FormTokens, browsers: Browsers | None) -> None:
        self._pages = pages
        self._refusals = refusals
        self._browsers = browsers
        self.form_tokens = form_tokens

    @property
    def can_sign_in(self) -> bool:
        """Whether people sign in here."""
        return self._browsers is not None

    async def find(self, exchange: Exchange) -> Visitor | None:
        """Whoever brings our cookie; None for a browser without it."""
        browser = cookies.read_cookie(exchange.scope, cookies.CONNECT)
        return await self.make(exchange, browser) if browser is not None else None

    async def make(self, exchange: Exchange, browser: Secret) -> Visitor:
        """A browser, and who is signed in there."""
        if self._browsers is None:
            return Visitor(browser)
        session = await self._browsers.find(cookies.read_cookie(exchange.scope, cookies.ME))
        if session is None:
            return Visitor(browser)
        exchange.principal = session.principal.name
        return Visitor(browser, session.id, session.principal.name)

    async def read_form(self, exchange: Exchange, receive: Receive) -> Parameters | Reply:
        """What a form says."""
        try:
            return await read_form(exchange.scope, receive)
        except UnreadableBody as error:
            return self._refuse_form(error.status, error.text)
        except BadParameters as error:
            return self._refuse_form(400, error.text)

    async def refuse(
        self, exchange: Exchange, refusal: Refusal, link: ConnectLink | None = None, *, is_on_record: bool = False
    ) -> Reply:
        """The page of a refusal, once it is on record."""
        if not (is_on_record and refusal.kind.is_of_login):
            await self._refusals.record(refusal, exchange.source, link)
        return make_failure(self._pages, refusal, link)

    def _refuse_form(self, status: int, text: str) -> Reply:
        text = f"{text[0].upper()}{text[1:]}."
        return self._pages.fail(status, "This form cannot be read", text, "Open the link once more.")

"""``/connect/NONCE``: who opens a link shows who they are, reads what it is for, and goes on to Salesforce."""

from __future__ import annotations

from starlette.types import Receive

from orgserver.model.orgs import Org
from orgserver.model.secret import Secret
from orgserver.services.connections.composition import BrowserConnections
from orgserver.services.connections.links import PATH
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.services.connections.visitors import Visitor
from orgserver.serving.http.connect.failures import name_command
from orgserver.serving.http.connect.visitors import Visitors
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages, find_forms
from orgserver.serving.http.replies import Headers, Reply
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.returns import see_other
from orgserver.store.orgs.connect_links import ConnectLink

_KEY, _BEGIN = "key", "begin"
_CSRF, _CSRF_KEY = "connect", "connect-key"
_OVER, _FORM = Refusal(RefusalKind.OVER), Refusal(RefusalKind.FORM)


class LinkPages:
    """Shows what a link is for, and begins with it."""

    def __init__(self, pages: Pages, connections: BrowserConnections, visitors: Visitors) -> None:
        self._pages = pages
        self._connections = connections
        self._visitors = visitors

    async def answer(self, exchange: Exchange, _admitted: Admitted, receive: Receive) -> Reply:
        """Answer a request at a link, or at one of its forms."""
        text, _, step = exchange.scope["path"].removeprefix(PATH).partition("/")
        nonce = Secret(text) if text else None
        link = await self._connections.links.find(nonce)
        is_post = exchange.scope["method"] == "POST"
        if link is None or nonce is None or step not in ((_KEY, _BEGIN) if is_post else ("",)):
            return await self._visitors.refuse(exchange, await self._find_over(exchange, nonce))
        if not is_post:
            return await self._show(exchange, nonce, link)
        visitor = await self._visitors.find(exchange)
        form = await self._visitors.read_form(exchange, receive)
        if isinstance(form, Reply):
            return form
        csrf, purpose = form.one("csrf"), _CSRF_KEY if step == _KEY else _CSRF
        if visitor is None or not self._visitors.form_tokens.check(csrf, purpose, link.id, visitor.browser):
            return await self._visitors.refuse(exchange, _FORM, link)
        if step == _KEY:
            return await self._take_key(exchange, nonce, link, visitor, form.one("key"))
        return await self._begin(exchange, nonce, link, visitor)

    async def go_on(self, exchange: Exchange, _admitted: Admitted, _receive: Receive) -> Reply:
        """After a sign-in: back to the link that this browser opened."""
        nonce = cookies.read_cookie(exchange.scope, cookies.CONNECT_LINK)
        if nonce is None:
            return await self._visitors.refuse(exchange, _OVER)
        return see_other(f"{PATH}{nonce.reveal()}")

    async def _find_over(self, exchange: Exchange, nonce: Secret | None) -> Refusal:
        """That a link is over; its person is told how to get another, strangers not even which org it was for."""
        link, visitor = await self._connections.links.find_any(nonce), await self._visitors.find(exchange)
        is_own = link is not None and visitor is not None and isinstance(visitor.find_proof(link), str)
        return Refusal(RefusalKind.OVER, {"command": name_command(link)}) if link is not None and is_own else _OVER

    async def _show(self, exchange: Exchange, nonce: Secret, link: ConnectLink) -> Reply:
        """The page of a link; it changes nothing."""
        browser = cookies.read_cookie(exchange.scope, cookies.CONNECT) or cookies.make_cookie_value()
        visitor = await self._visitors.make(exchange, browser)
        proof = visitor.find_proof(link)
        if isinstance(proof, Refusal):
            return await self._visitors.refuse(exchange, proof, link)
        if proof is None:
            return self._ask_who(nonce, link, visitor)
        org = await self._connections.checks.find_org(link)
        if isinstance(org, Refusal):
            return await self._visitors.refuse(exchange, org, link)
        return await self._ask(nonce, link, visitor, org)

    def _ask_who(self, nonce: Secret, link: ConnectLink, visitor: Visitor, problem: str | None = None) -> Reply:
        return self._pages.render(
            "connect_proof.html",
            403 if problem else 200,
            headers=_keep(visitor, nonce),
            action=f"{PATH}{nonce.reveal()}/{_KEY}",
            csrf=self._visitors.form_tokens.make(_CSRF_KEY, link.id, visitor.browser),
            can_sign_in=self._visitors.can_sign_in,
            problem=problem,
        )

    async def _ask(self, nonce: Secret, link: ConnectLink, visitor: Visitor, org: Org) -> Reply:
        before = await self._connections.storing.find_connection(link)
        return self._pages.render(
            "connect.html",
            forms=find_forms(org.login_url),
            headers=_keep(visitor, nonce),
            action=f"{PATH}{nonce.reveal()}/{_BEGIN}",
            csrf=self._visitors.form_tokens.make(_CSRF, link.id, visitor.browser),
            org=org,
            login_host=org.login_url.partition("://")[2],
            principal=link.principal,
            before=before.username if before is not None else None,
            may_replace=link.replace,
        )

    async def _take_key(
        self, exchange: Exchange, nonce: Secret, link: ConnectLink, visitor: Visitor, key: str | None
    ) -> Reply:
        if link.browser_digest is not None and not visitor.is_browser_of(link):
            return await self._visitors.refuse(exchange, Refusal(RefusalKind.OTHER_BROWSER), link)
        key = (key or "").strip()
        if not key:
            return self._ask_who(nonce, link, visitor, "Give the key that your client uses.")
        refusal = await self._connections.proofs.take_key(link, Secret(key), visitor.browser)
        if refusal is not None:
            return await self._visitors.refuse(exchange, refusal, link)
        return see_other(f"{PATH}{nonce.reveal()}")

    async def _begin(self, exchange: Exchange, nonce: Secret, link: ConnectLink, visitor: Visitor) -> Reply:
        proof = visitor.find_proof(link)
        if isinstance(proof, Refusal):
            return await self._visitors.refuse(exchange, proof, link)
        if proof is None:
            return self._ask_who(nonce, link, visitor, "You are signed out, so nothing was begun.")
        url = await self._connections.authorization.begin(link, proof, visitor)
        if isinstance(url, Refusal):
            return await self._visitors.refuse(exchange, url, link)
        return see_other(url)


def _keep(visitor: Visitor, nonce: Secret) -> Headers:
    """Cookies by which this browser goes on."""
    seconds = cookies.SIGN_IN_SECONDS
    own = cookies.keep_cookie(cookies.CONNECT, visitor.browser, seconds)
    return own + cookies.keep_cookie(cookies.CONNECT_LINK, nonce, seconds)

"""``/connect/callback`` and what follows: which Salesforce user logged in, and the click that stores it."""

from __future__ import annotations

from starlette.types import Receive

from orgserver.model.access.logins import MOST_APPROVALS
from orgserver.model.secret import Secret
from orgserver.services.connections.composition import BrowserConnections
from orgserver.services.connections.links import PATH
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.services.connections.visitors import Visitor
from orgserver.services.signin.parameters import BadParameters
from orgserver.serving.http.connect.visitors import Visitors
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.forms import read_query
from orgserver.serving.http.signin.returns import see_other
from orgserver.store.orgs.connect_links import ConnectLink

RESULT_PATH, STORE_PATH, DISCARD_PATH = f"{PATH}result", f"{PATH}store", f"{PATH}discard"
_PARAMETERS = frozenset({"state", "code", "error"})
"""Whatever else Salesforce says in its answer is not looked at."""
_CSRF = "connect-result"


class ResultPages:
    """Takes Salesforce's answers, and the person's."""

    def __init__(self, pages: Pages, connections: BrowserConnections, visitors: Visitors) -> None:
        self._pages = pages
        self._callbacks = connections.callbacks
        self._storing = connections.storing
        self._visitors = visitors

    async def take(self, exchange: Exchange, _admitted: Admitted, _receive: Receive) -> Reply:
        """Take an answer of Salesforce's, and have its code and state leave the address bar."""
        try:
            parameters = read_query(exchange.scope, _PARAMETERS)
        except BadParameters as bad:
            return await self._visitors.refuse(exchange, Refusal(RefusalKind.FORGED, reason=bad.text))
        visitor = await self._visitors.find(exchange)
        link = await self._callbacks.find(parameters.one("state"), visitor)
        if isinstance(link, Refusal) or visitor is None:
            refusal = link if isinstance(link, Refusal) else Refusal(RefusalKind.FORGED)
            return await self._visitors.refuse(exchange, refusal)
        code = parameters.one("code")
        error = parameters.one("error")
        answered = await self._callbacks.take(link, visitor, Secret(code) if code is not None else None, error)
        if isinstance(answered, Refusal):
            return await self._visitors.refuse(exchange, answered, link, is_on_record=True)
        return see_other(f"{RESULT_PATH}?link={answered.id}")

    async def show(self, exchange: Exchange, _admitted: Admitted, _receive: Receive) -> Reply:
        """Which Salesforce user becomes whose login, and two buttons."""
        try:
            link_id = read_query(exchange.scope).one("link")
        except BadParameters:
            link_id = None
        visitor = await self._visitors.find(exchange)
        link = await self._storing.find(link_id or "", visitor)
        if isinstance(link, Refusal) or visitor is None:
            return await self._refuse(exchange, link)
        answered = await self._storing.show(link)
        if isinstance(answered, Refusal):
            return await self._visitors.refuse(exchange, answered, link)
        return self._pages.render(
            "connect_result.html",
            csrf=self._visitors.form_tokens.make(_CSRF, link.id, visitor.browser),
            link=link,
            org=answered.org,
            user=answered.user,
            before=answered.before if answered.before != answered.user.username else None,
            ends_oldest=answered.ends_oldest,
            most=MOST_APPROVALS,
            store=STORE_PATH,
            discard=DISCARD_PATH,
        )

    async def store(self, exchange: Exchange, _admitted: Admitted, receive: Receive) -> Reply:
        """Store it."""
        link = await self._read_answer(exchange, receive)
        if isinstance(link, Reply):
            return link
        connection = await self._storing.keep(link)
        if isinstance(connection, Refusal):
            return await self._visitors.refuse(exchange, connection, link, is_on_record=True)
        return self._pages.render(
            "connect_done.html",
            headers=cookies.drop_cookie(cookies.CONNECT_LINK),
            alias=link.alias,
            principal=link.principal,
            username=connection.username,
            can_sign_in=self._visitors.can_sign_in,
        )

    async def discard(self, exchange: Exchange, _admitted: Admitted, receive: Receive) -> Reply:
        """Do away with it."""
        link = await self._read_answer(exchange, receive)
        if isinstance(link, Reply):
            return link
        await self._storing.discard(link)
        return self._pages.fail(
            200,
            "Nothing was stored",
            f"The login to {link.alias} was not kept, and Salesforce is told that it is over.",
            "If you change your mind, repeat the call at your client: it gives you a new link.",
            headers=cookies.drop_cookie(cookies.CONNECT_LINK),
        )

    async def _read_answer(self, exchange: Exchange, receive: Receive) -> ConnectLink | Reply:
        """The login that a form of our page is about."""
        form = await self._visitors.read_form(exchange, receive)
        if isinstance(form, Reply):
            return form
        visitor = await self._visitors.find(exchange)
        link_id = form.one("link") or ""
        if visitor is None or not self._is_ours(form.one("csrf"), link_id, visitor):
            return await self._visitors.refuse(exchange, Refusal(RefusalKind.FORM))
        link = await self._storing.find(link_id, visitor)
        return await self._refuse(exchange, link) if isinstance(link, Refusal) else link

    def _is_ours(self, csrf: str | None, link_id: str, visitor: Visitor) -> bool:
        return self._visitors.form_tokens.check(csrf, _CSRF, link_id, visitor.browser)

    async def _refuse(self, exchange: Exchange, link: ConnectLink | Refusal) -> Reply:
        refusal = link if isinstance(link, Refusal) else Refusal(RefusalKind.OTHER_BROWSER)
        return await self._visitors.refuse(exchange, refusal)

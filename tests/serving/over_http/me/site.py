"""``/me`` as browsers reach it, without a server around it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from urllib.parse import urlencode

from orgserver.app import App
from orgserver.services.connections.links import ConnectLinks
from orgserver.services.connections.own_logins import OwnLogins
from orgserver.services.people.approvers import Approvers
from orgserver.services.people.auth_failures import AuthFailures
from orgserver.services.people.holdings import Holdings
from orgserver.services.people.identities import Identities
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.me.endpoints import MeServices, make_endpoints
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import send_reply
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.endpoints import Endpoints
from tests.services.signin.browsers import UrlsAlone, add_browser
from tests.serving.over_http.people.page import Page, check_headers, read_page

URL = "https://orgs.example.com"


@dataclass
class Answer:
    """What a browser got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def page(self) -> Page:
        """The page in it."""
        assert self.headers["content-type"] == "text/html; charset=utf-8"
        check_headers(self.headers)
        return read_page(self.body)

    @property
    def text(self) -> str:
        """What its page says, with single blanks."""
        return " ".join(self.page.one("body").text.split())


class Site:
    """The server's pages."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.urls = UrlsAlone()
        self._sources = itertools.count(1)
        pages = Pages(URL)
        self.approvers = Approvers(app.store, app.access)
        self.sessions = SignInSessions(app.store)
        services = MeServices(
            app.access,
            Browsers(app.store, Identities(app.store), self.urls),
            Holdings(app.store, app.access, app.people.principals),
            self.approvers,
            self.sessions,
            app.audit_log,
            AuthFailures(app.store),
            OwnLogins(app.store, app.access, ConnectLinks(app.store, app.access, URL)),
        )
        self.endpoints = Endpoints(URL, make_endpoints(services, pages), pages)

    async def request(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None, parts: int = 1_000
    ) -> Answer:
        """Ask for something, and go away before that many parts of the answer have come."""
        path, _, query = target.partition("?")
        source = f"192.0.2.{next(self._sources)}"  # its own limits: nobody here is slow enough for one
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": (source, 1),
        }
        sent = []

        async def send(message) -> None:
            if len(sent) > parts - 1:
                raise ConnectionResetError
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        exchange = Exchange(scope, send)
        assert self.endpoints.serves(path), path
        await send_reply(
            exchange.send,
            await self.endpoints.answer(exchange, Admitted(source, "https", "orgs.example.com"), receive),
        )
        got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], got, b"".join(each.get("body", b"") for each in sent[1:]))

    async def sign_in(self, principal: str, *, seconds_ago: int | None = 0) -> Visitor:
        """Somebody's browser, signed in."""
        cookie = cookies.make_cookie_value().reveal()
        session_id = await add_browser(self.app, principal, cookie, seconds_ago=seconds_ago)
        return Visitor(self, cookie, session_id)


@dataclass
class Visitor:
    """Somebody who is signed in."""

    site: Site
    cookie: str
    session_id: str
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, target: str = "/me") -> Answer:
        """Load a page."""
        return await self.site.request("GET", target, headers=self.cookies)

    async def post(self, path: str, **changes: str) -> Answer:
        """Send a form of the page, as its button does."""
        fields = {"csrf": (await self.get()).page.fields["csrf"]} | changes
        headers = self.cookies | {"content-type": "application/x-www-form-urlencoded"}
        return await self.site.request("POST", path, urlencode(fields).encode(), headers)

    @property
    def cookies(self) -> dict[str, str]:
        """What its browser sends with each request."""
        return {"cookie": f"{cookies.ME}={self.cookie}"} | self.headers

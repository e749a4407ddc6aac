"""Logins of people's own over HTTP: what makes them in a browser, and the paths at which people reach it."""

from __future__ import annotations

from functools import partial

from starlette.types import Receive

from orgserver.app import App
from orgserver.services.connections.composition import BrowserConnections, make_browser_connections
from orgserver.services.connections.links import ConnectLinks
from orgserver.services.signin.browser.form_tokens import FormTokens
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.serving.http.connect.endpoints import make_endpoints
from orgserver.serving.http.connect.visitors import Visitors
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import STYLE_PATH, Pages
from orgserver.serving.http.replies import Reply
from orgserver.serving.http.signin.endpoints import Endpoint, Endpoints


def make_connections(app: App, url: str) -> BrowserConnections:
    """What makes logins in a browser."""
    links = ConnectLinks(app.store, app.access, url)
    return make_browser_connections(app.store, app.access, app.people, links, app.observer)


def make_connect_pages(app: App, url: str) -> Endpoints:
    """The pages of a server at which nobody signs in: people show their keys."""
    pages = Pages(url)
    paths = make_connect_endpoints(app, pages, make_connections(app, url), None)
    return Endpoints(url, paths | {STYLE_PATH: make_style_endpoint(pages)}, pages)


def make_connect_endpoints(
    app: App, pages: Pages, connections: BrowserConnections, browsers: Browsers | None
) -> dict[str, Endpoint]:
    """What is answered where; ``browsers`` knows who is signed in, where people sign in."""
    visitors = Visitors(pages, connections.refusals, FormTokens(app.store.cursors), browsers)
    return make_endpoints(connections, visitors, pages)


def make_style_endpoint(pages: Pages) -> Endpoint:
    """What all pages look like."""
    return Endpoint(partial(_answer_style, pages), ("GET",), is_page=True)


async def _answer_style(pages: Pages, _exchange: Exchange, _admitted: Admitted, _receive: Receive) -> Reply:
    return pages.answer_style()

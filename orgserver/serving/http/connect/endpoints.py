"""The paths below ``/connect/``."""

from __future__ import annotations

from orgserver.services.connections.composition import BrowserConnections
from orgserver.services.connections.links import CALLBACK_PATH, PATH
from orgserver.services.signin.options import CONTINUE_PATH
from orgserver.serving.http.connect.links import LinkPages
from orgserver.serving.http.connect.results import DISCARD_PATH, RESULT_PATH, STORE_PATH, ResultPages
from orgserver.serving.http.connect.visitors import Visitors
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.signin.endpoints import Endpoint

_READ, _SENT = ("GET",), ("POST",)


def make_endpoints(connections: BrowserConnections, visitors: Visitors, pages: Pages) -> dict[str, Endpoint]:
    """What answers at each path, or below one that ends with a slash."""
    links = LinkPages(pages, connections, visitors)
    results = ResultPages(pages, connections, visitors)
    return {
        PATH: Endpoint(links.answer, _READ + _SENT, is_page=True),
        CONTINUE_PATH: Endpoint(links.go_on, _READ, is_page=True),
        CALLBACK_PATH: Endpoint(results.take, _READ, is_page=True),
        RESULT_PATH: Endpoint(results.show, _READ, is_page=True),
        STORE_PATH: Endpoint(results.store, _SENT, is_page=True),
        DISCARD_PATH: Endpoint(results.discard, _SENT, is_page=True),
    }

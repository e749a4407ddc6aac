"""The server that is judged: orgserver over two pretend orgs, with the suite's tools beside its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.serving.server import build_server

from .http_serving import serving
from .suite_server import add_suite


@asynccontextmanager
async def serving_suite(app: App) -> AsyncIterator[str]:
    """Serve an app with the suite's tools until the block ends; gives the URL."""
    server = build_server(app.services, principal=Principal("local:conformance"), transport="http")
    add_suite(server)
    async with serving(server, stateless_http=True) as url:
        yield url

"""A server of the SDK's low level behind its streamable HTTP app, on loopback, over our own connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server

from orgserver.serving.http.connections.places import ConnectionLimits, Connections
from orgserver.serving.http.connections.protocol import Connection

_LONGEST = 10.0


@asynccontextmanager
async def serving(server: Server[Any], **options: Any) -> AsyncIterator[str]:
    """Serve on a free port until the block ends; gives the URL."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        app = server.streamable_http_app(**options)
        protocol: Any = partial(Connection, Connections(ConnectionLimits(per_source=1_000), lambda _source: False))
        config = uvicorn.Config(app, http=protocol, log_level="warning", timeout_graceful_shutdown=1, ws="none")
        web = uvicorn.Server(config)
        web.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # the runner's, not this server's
        task = asyncio.create_task(web.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(_LONGEST):
                while not web.started:
                    await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            web.should_exit = True
            await task

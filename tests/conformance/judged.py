"""The server that is judged: orgserver's own endpoint over two pretend orgs, with the suite's tools beside its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller
from orgserver.model.orgs import Scope as ServerScope
from orgserver.serving.http.door import Door
from orgserver.serving.http.endpoint import McpEndpoint, caller_of_request
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.http.replies import Reply, send_reply
from orgserver.serving.http.server import listen, serve
from orgserver.serving.refused_calls import record_unreadable
from orgserver.serving.server import build_server_and_calls
from orgserver.serving.shutdown import Ending

from .suite_server import add_suite

_CALLER = Caller(Principal("local:conformance"), "http")
_HOST = "127.0.0.1"
_END_SECONDS = 1.0


@asynccontextmanager
async def serving_suite(app: App) -> AsyncIterator[str]:
    """Serve an app with the suite's tools until the block ends; gives the URL."""
    ending = Ending(_drain_seconds, app.services.executor.give_up)
    with listen(_HOST, 0, "--http") as listener:
        options = HttpOptions(_HOST, listener.getsockname()[1])
        ready = asyncio.Event()
        task = asyncio.create_task(_serve(app, options, listener, ending, ready))
        starting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, starting], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        try:
            yield f"http://{_HOST}:{options.port}/mcp"
        finally:
            ending.requested.set()
            await task


async def _serve(app: App, options: HttpOptions, listener: socket.socket, ending: Ending, ready: asyncio.Event) -> None:
    server, tool_calls = build_server_and_calls(app.services, caller_of_request, ServerScope())
    add_suite(server)
    record_refusal = partial(record_unreadable, app.services)
    async with McpEndpoint(server, tool_calls, options, record_refusal, frozenset()).running() as endpoint:
        await serve(_open_door(Door(options), endpoint), listener, ending, ready.set, options)


def _open_door(door: Door, endpoint: McpEndpoint) -> ASGIApp:
    """The endpoint behind its door, where everybody is one caller: the suite has no key."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        admitted = door.admit(scope)
        if isinstance(admitted, Reply):
            await send_reply(send, admitted)
            return
        await endpoint.answer(_CALLER, scope, receive, send)

    return answer


async def _drain_seconds() -> float:
    return _END_SECONDS

"""``/mcp``: one message in, its answer out; whatever the caller is, the request brings it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from orgserver.model.orgs import Caller
from orgserver.serving.http.options import HttpOptions

_CALLER = "orgserver.caller"


def caller_of_request(ctx: ServerRequestContext[Any]) -> Caller:
    """Who sent the request that a message came with."""
    caller = ctx.request.scope.get(_CALLER) if ctx.request is not None else None
    if not isinstance(caller, Caller):
        raise RuntimeError("a message came in without a caller")  # noqa: TRY004  # a defect of ours
    return caller


class McpEndpoint:
    """Answers requests to ``/mcp`` whose callers are known."""

    def __init__(self, server: Server[Any], options: HttpOptions) -> None:
        self._manager = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=options.max_body)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Answer until the block ends."""
        async with self._manager.run():
            yield self

    async def answer(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._manager.handle_request({**scope, _CALLER: caller}, receive, send)

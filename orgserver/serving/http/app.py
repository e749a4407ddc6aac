"""The ASGI app: which request goes where, and what it must show on the way."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import Receive, Scope, Send

from orgserver.model.orgs import Caller
from orgserver.serving.http.authentication import Authenticator
from orgserver.serving.http.door import Door
from orgserver.serving.http.endpoint import McpEndpoint
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.replies import Reply, make_error_reply, make_text_reply, send_reply
from orgserver.serving.http.throttling import Throttling

logger = logging.getLogger("orgserver.http")

_MCP = "/mcp"
_ENDING = make_error_reply(503, "this server is ending")
_FAILED = make_error_reply(500, "this request failed inside orgserver")


class HttpApp:
    """Every request comes through here."""

    def __init__(
        self,
        door: Door,
        authenticator: Authenticator,
        throttling: Throttling,
        endpoint: McpEndpoint,
        label: str | None,
    ) -> None:
        self._door = door
        self._authenticator = authenticator
        self._throttling = throttling
        self._endpoint = endpoint
        self._label = label

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} is served here")
        exchange = Exchange(scope, send)
        try:
            reply = await self._answer(scope, receive, exchange.send)
        except asyncio.CancelledError:  # only when the server ends
            reply = _ENDING
        except Exception:
            logger.exception("a request failed in a way that is not foreseen")
            reply = _FAILED
        if reply is not None and not exchange.status:
            await send_reply(exchange.send, reply)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Reply | None:
        """The reply; None where it is sent already."""
        admitted = self._door.admit(scope)
        if isinstance(admitted, Reply):
            return admitted
        if scope["path"] != _MCP:
            return make_text_reply(404, "nothing is here; MCP is at /mcp")
        authorization = [value for name, value in scope["headers"] if name == b"authorization"]
        authenticated = await self._authenticator.authenticate(authorization, admitted.source)
        if isinstance(authenticated, Reply):
            return authenticated
        caller = Caller(authenticated.principal, "http", label=self._label)
        leave = await self._throttling.admit(caller, authenticated.key_id, scope, receive)
        if isinstance(leave, Reply):
            return leave
        try:
            await self._endpoint.answer(caller, scope, receive, send)
        finally:
            leave()
        return None

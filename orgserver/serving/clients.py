"""Who calls past the SDK: what it has accepted of a client, by a handshake or by the envelope of each request.

Up to 2025-11-25 a client says who it is once, when it connects. From 2026-07-28 on every request says it in ``_meta``,
as an envelope that is always the same but for the token of its progress.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.session import ServerSession
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp_types import PROTOCOL_VERSION_META_KEY, CallToolRequestParams, methods
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from pydantic_core import to_json

from orgserver.model.orgs import Elicitor
from orgserver.serving.envelopes import Envelope
from orgserver.serving.tool_calls import client_name, make_elicitor

PROGRESS = "progressToken"
_MAX_ENVELOPES, _MAX_ENVELOPE_BYTES = 64, 8 * 1024
"""So many are remembered, and none that is longer: those are for the SDK each time."""


@dataclass(frozen=True, slots=True)
class Client:
    """What a call has to know of its client."""

    name: str | None
    elicitor: Elicitor | None
    envelope: Envelope
    """Of the responses to it."""


class Clients:
    """The clients of one connection: one with a handshake, else as many as there are envelopes."""

    def __init__(self, server: Server[Any]) -> None:
        self._server = server
        self._envelopes: dict[str, Envelope] = {}
        self._handshakes = 0
        self._by_handshake: Client | None = None
        self._is_modern = False
        self._by_envelope: dict[bytes, Client | None] = {}
        """None for an envelope that the SDK refuses."""
        server.middleware.append(self._meet)

    @property
    def are_met(self) -> bool:
        """Whether the SDK has accepted anything; before that, it says what is missing."""
        return self._is_modern or self._by_handshake is not None

    def begin_handshake(self) -> None:
        """Forget who was there; a connection that shakes hands twice stays the SDK's affair."""
        self._handshakes += 1
        self._by_handshake, self._is_modern = None, False

    def identify(self, meta: dict[str, Any]) -> Client | None:
        """The client that sent a request with this ``_meta``; None where that is for the SDK to say, or to refuse."""
        if not self._is_modern:
            return self._by_handshake if PROTOCOL_VERSION_META_KEY not in meta else None
        key = to_json({name: value for name, value in meta.items() if name != PROGRESS})
        if len(key) > _MAX_ENVELOPE_BYTES:
            return None
        if key not in self._by_envelope:
            if len(self._by_envelope) >= _MAX_ENVELOPES:
                self._by_envelope.clear()
            self._by_envelope[key] = self._read({"name": "", "_meta": meta})
        return self._by_envelope[key]

    async def _meet(self, ctx: ServerRequestContext[Any], call_next: CallNext) -> HandlerResult:
        """Learn from what comes through the SDK."""
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            self._is_modern = True
        elif self._by_handshake is None and self._handshakes == 1 and ctx.session.client_params is not None:
            self._by_handshake = self._describe(ctx.session, ctx.session)
        return await call_next(ctx)

    def _read(self, params: dict[str, Any]) -> Client | None:
        """Put an envelope through everything that the SDK checks of it."""
        route = classify_inbound_request({"method": "tools/call", "params": params})
        if isinstance(route, InboundLadderRejection):
            return None
        try:
            methods.validate_client_request("tools/call", route.protocol_version, params)
            CallToolRequestParams.model_validate(params, by_name=False)
        except ValidationError:
            return None
        connection = Connection.from_envelope(route.protocol_version, route.client_info, route.client_capabilities)
        return self._describe(connection, None)

    def _describe(self, client: Connection | ServerSession, session: ServerSession | None) -> Client:
        version = client.protocol_version
        if version not in self._envelopes:
            self._envelopes[version] = Envelope(self._server, version)
        return Client(client_name(client), make_elicitor(client, session), self._envelopes[version])

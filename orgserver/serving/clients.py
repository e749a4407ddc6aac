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
from mcp_types import DEFAULT_NEGOTIATED_VERSION, PROTOCOL_VERSION_META_KEY, CallToolRequestParams, methods
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from pydantic_core import to_json

from orgserver.model.orgs import Elicitor
from orgserver.serving.elicitation.logins import LoginPrompt, find_prompt
from orgserver.serving.elicitation.url_sessions import is_session_that_opens_urls
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
    login_prompt: LoginPrompt | None = None
    """How it is given a link to a login; None where it opens none."""


def is_handshake_version(version: str | None) -> bool:
    """Whether a version begins with a handshake: those up to 2025-11-25, and of whoever says none."""
    return version is None or version in HANDSHAKE_PROTOCOL_VERSIONS


class Envelopes:
    """The envelopes of a server's responses, one for each version of the protocol."""

    def __init__(self, server: Server[Any]) -> None:
        self._server = server
        self._by_version: dict[str, Envelope] = {}

    def of_version(self, version: str) -> Envelope:
        """The envelope of one version, made when it is first needed."""
        envelope = self._by_version.get(version)
        if envelope is None:
            envelope = self._by_version[version] = Envelope(self._server, version)
        return envelope

    def describe(self, client: Connection | ServerSession, session: ServerSession | None) -> Client:
        """What a call has to know of a client that the SDK has accepted."""
        envelope = self.of_version(client.protocol_version)
        return Client(client_name(client), make_elicitor(client, session), envelope, find_prompt(client))


class ModernClients:
    """The clients that say in each request who they are, as many as there are envelopes."""

    def __init__(self, envelopes: Envelopes) -> None:
        self._envelopes = envelopes
        self._by_envelope: dict[bytes, Client | None] = {}
        """None for an envelope that the SDK refuses."""

    def identify(self, meta: dict[str, Any]) -> Client | None:
        """The client that sent a request with this ``_meta``; None where that is for the SDK to say, or to refuse."""
        asked = {name: value for name, value in meta.items() if name != PROGRESS} if PROGRESS in meta else meta
        key = to_json(asked)
        if len(key) > _MAX_ENVELOPE_BYTES:
            return None
        if key not in self._by_envelope:
            if len(self._by_envelope) >= _MAX_ENVELOPES:
                self._by_envelope.clear()
            self._by_envelope[key] = self._read({"name": "", "_meta": meta})
        return self._by_envelope[key]

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
        return self._envelopes.describe(connection, None)


class Clients:
    """The clients of one connection: one with a handshake, else as many as there are envelopes."""

    def __init__(self, server: Server[Any]) -> None:
        self._envelopes = Envelopes(server)
        self._by_envelope = ModernClients(self._envelopes)
        self._handshakes = 0
        self._by_handshake: Client | None = None
        self._is_modern = False
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
        return self._by_envelope.identify(meta)

    async def _meet(self, ctx: ServerRequestContext[Any], call_next: CallNext) -> HandlerResult:
        """Learn from what comes through the SDK."""
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            self._is_modern = True
        elif self._by_handshake is None and self._handshakes == 1 and ctx.session.client_params is not None:
            self._by_handshake = self._envelopes.describe(ctx.session, ctx.session)
        return await call_next(ctx)


class StatelessClients:
    """The clients over HTTP, where nothing is known of one but what its request says.

    Up to 2025-11-25 that is the version of the protocol in a header, and whether it opens addresses.
    """

    def __init__(self, server: Server[Any]) -> None:
        self._envelopes = Envelopes(server)
        self._by_envelope = ModernClients(self._envelopes)
        self._by_version: dict[tuple[str, bool], Client] = {}
        """Those of a handshake: of each version they are all the same."""

    def identify(self, version: str | None, session_id: str | None, meta: dict[str, Any]) -> Client | None:
        """The client that sent a request of this version; None where that is for the SDK to say, or to refuse."""
        if is_handshake_version(version):
            if PROTOCOL_VERSION_META_KEY in meta:
                return None
            return self._of_version(version or DEFAULT_NEGOTIATED_VERSION, is_session_that_opens_urls(session_id))
        return self._by_envelope.identify(meta) if meta.get(PROTOCOL_VERSION_META_KEY) == version else None

    def _of_version(self, version: str, opens_urls: bool) -> Client:
        client = self._by_version.get((version, opens_urls))
        if client is None:
            prompt: LoginPrompt | None = "error" if opens_urls else None
            client = Client(None, None, self._envelopes.of_version(version), prompt)
            self._by_version[version, opens_urls] = client
        return client

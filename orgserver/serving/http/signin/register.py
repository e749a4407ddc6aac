"""Clients that register themselves, where the operator allows it (RFC 7591): the SDK's handler behind our checks."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from mcp.server.auth.handlers.register import RegistrationHandler
from mcp.server.auth.provider import OAuthAuthorizationServerProvider, RegistrationError
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.shared.auth import OAuthClientInformationFull
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from orgserver.model.json_text import read_json_text
from orgserver.oauth.clients.registrations import RegistrationRefused, read_registration
from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.services.signin.clients.registry import Clients, RegistrationRefusal
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.replies import Reply, retry_after
from orgserver.serving.http.signin.forms import UnreadableBody, find_content_type, read_bytes
from orgserver.serving.http.signin.machines import make_json_reply, make_refusal_reply

MOST_BYTES = 16 * 1024
_OTHER_THAN_PLAIN = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]+")
"""What an error's description may not hold (RFC 6749 §5.2)."""
_LONGEST_DESCRIPTION = 500
_BAD_METADATA = "invalid_client_metadata"
_CREATED = 201


class Registration:
    """Registers a client with what it asks for, as far as that is offered here; all are public."""

    def __init__(self, clients: Clients, failures: AuthFailures) -> None:
        self._clients = clients
        self._failures = failures

    async def answer(self, exchange: Exchange, admitted: Admitted, receive: Receive) -> Reply:
        """Answer a request to register one."""
        try:
            metadata = read_registration(await _read_document(exchange.scope, receive))
        except UnreadableBody as error:
            return make_refusal_reply(error.status, _BAD_METADATA, error.text)
        except RegistrationRefused as error:
            return await self._refuse(admitted.source, error.error, error.description)
        registrar = _Registrar(self._clients, metadata["redirect_uris"], admitted.source)
        status, document = await _handle(registrar, metadata)
        if registrar.refusal is not None:
            text, seconds = registrar.refusal.description, registrar.refusal.seconds
            await self._failures.record(AuthFailure(admitted.source, "TOO_MANY_CLIENTS", 429, reason=text))
            return make_refusal_reply(429, registrar.refusal.error, text, retry_after(seconds))
        if status != _CREATED:
            return await self._refuse(admitted.source, document["error"], document["error_description"])
        return make_json_reply(status, document)

    async def _refuse(self, source: str, error: str, description: str) -> Reply:
        text = _OTHER_THAN_PLAIN.sub(" ", description)[:_LONGEST_DESCRIPTION]
        await self._failures.record(AuthFailure(source, error.upper(), 400, reason=text))
        return make_refusal_reply(400, error, text)


class _Registrar:
    """What the SDK's handler asks of an authorization server when a client registers itself: to keep it."""

    def __init__(self, clients: Clients, redirect_uris: list[str], source: str) -> None:
        self._clients = clients
        self._redirect_uris = redirect_uris
        self._source = source
        self.refusal: RegistrationRefusal | None = None

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        """Keep it; RegistrationError where the SDK's model writes a redirect URI in another way than the client."""
        metadata = client_info.model_dump(mode="json", exclude_none=True)
        if metadata["redirect_uris"] != self._redirect_uris:
            raise RegistrationError("invalid_redirect_uri", "a redirect URI is not in its usual form")
        registered = await self._clients.register(metadata, self._source)
        self.refusal = registered if isinstance(registered, RegistrationRefusal) else None


async def _read_document(scope: Scope, receive: Receive) -> dict[str, Any]:
    if find_content_type(scope) != "application/json":
        raise UnreadableBody(415, "the body must be application/json")
    body = await read_bytes(scope, receive, MOST_BYTES)
    try:
        document = read_json_text(body.decode("utf-8"))
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RegistrationRefused(_BAD_METADATA, "the body is no JSON object that names each key once")
    return document


async def _handle(registrar: _Registrar, metadata: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What the SDK's handler answers: it looks at what is left, makes the id, and says what was registered."""
    body = json.dumps(metadata).encode()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    provider = cast("OAuthAuthorizationServerProvider[Any, Any, Any]", registrar)  # of which it uses nothing else
    handler = RegistrationHandler(provider, ClientRegistrationOptions(enabled=True))
    response = await handler.handle(Request({"type": "http", "method": "POST", "headers": []}, receive))
    return response.status_code, json.loads(bytes(response.body))

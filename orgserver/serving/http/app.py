"""The ASGI app: which request goes where, and what it must show on the way."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import lru_cache, partial
from typing import Protocol

from starlette.types import Receive, Scope, Send

from orgserver.model.access.principals import Permission, Principal
from orgserver.model.orgs import Caller
from orgserver.model.server_paths import MCP_PATH
from orgserver.serving.http.authentication import Authenticated, Authenticator
from orgserver.serving.http.bearer.challenges import METADATA_PATHS, Challenges
from orgserver.serving.http.bearer.step_up import StepUp
from orgserver.serving.http.door import Admitted, Door
from orgserver.serving.http.endpoint import McpEndpoint
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.monitoring.access_log import AccessLog
from orgserver.serving.http.monitoring.pages import PAGES, PROBES, MonitoringPages, has_host_within
from orgserver.serving.http.replies import Reply, make_error_reply, make_not_found_reply, send_reply
from orgserver.serving.http.throttling import Throttling, meter

logger = logging.getLogger("orgserver.http")

_CACHE = 4_096
_ENDING = make_error_reply(503, "this server is ending")
_FAILED = make_error_reply(500, "this request failed inside orgserver")


class PeopleEndpoints(Protocol):
    """What people and their clients reach to sign in, to see what is theirs, and to give logins of their own."""

    def serves(self, path: str) -> bool:
        """Whether a path is one of them."""

    async def answer(self, exchange: Exchange, admitted: Admitted, receive: Receive) -> Reply:
        """Answer a request to one."""


class HttpApp:
    """Every request comes through here."""

    def __init__(
        self,
        door: Door,
        authenticator: Authenticator,
        throttling: Throttling,
        endpoint: McpEndpoint,
        challenges: Challenges,
        step_up: StepUp,
        pages: MonitoringPages,
        access_log: AccessLog,
        label: str | None,
        people: PeopleEndpoints | None = None,
        approval_url: str | None = None,
    ) -> None:
        self._door = door
        self._authenticator = authenticator
        self._throttling = throttling
        self._endpoint = endpoint
        self._challenges = challenges
        self._step_up = step_up
        self._pages = pages
        self._access_log = access_log
        self._make_caller = lru_cache(_CACHE)(partial(_make_caller, label, approval_url))
        """Most who call have called before."""
        self._people = people
        self._has_accounts = approval_url is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} is served here")
        exchange = Exchange(scope, send)
        try:
            reply = await self._answer(exchange, receive)
        except asyncio.CancelledError:  # only when the server ends
            reply = _ENDING
        except Exception:
            logger.exception("a request failed in a way that is not foreseen")
            reply = _FAILED
        if reply is not None and not exchange.status:
            await send_reply(exchange.send, reply)
        self._access_log.add_exchange(exchange)

    async def _answer(self, exchange: Exchange, receive: Receive) -> Reply | None:
        """The reply; None where it is sent already."""
        scope, path = exchange.scope, exchange.scope["path"]
        admitted = self._door.admit(scope)
        if isinstance(admitted, Reply):
            is_probe = path in PROBES and has_host_within(scope["headers"])
            return await self._pages.answer(path, scope["method"], None) if is_probe else admitted
        exchange.source, exchange.headers = admitted.source, admitted.cors
        if self._people is not None and self._people.serves(path):
            return await self._people.answer(exchange, admitted, receive)
        return await self._serve(exchange, admitted, receive)

    async def _serve(self, exchange: Exchange, admitted: Admitted, receive: Receive) -> Reply | None:
        """The reply to a request that may come in; None as above."""
        scope, path = exchange.scope, exchange.scope["path"]
        if path in METADATA_PATHS:
            return self._challenges.answer_metadata(admitted.url, scope["method"])
        if path != MCP_PATH and path not in PAGES:
            return make_not_found_reply(has_accounts=self._has_accounts)
        authorization = [value for name, value in scope["headers"] if name == b"authorization"]
        if path in PROBES and not authorization:
            return await self._pages.answer(path, scope["method"], None)
        authenticated = await self._authenticator.authenticate(authorization, admitted)
        if isinstance(authenticated, Reply):
            return authenticated
        exchange.principal, exchange.key_id = authenticated.principal.name, authenticated.key_id
        if path in PAGES:
            is_whole = authenticated.scopes is None  # no scope of an access token is about these
            return await self._pages.answer(path, scope["method"], authenticated.principal if is_whole else None)
        return await self._answer_mcp(exchange, authenticated, admitted.url, receive)

    async def _answer_mcp(
        self, exchange: Exchange, authenticated: Authenticated, url: str, receive: Receive
    ) -> Reply | None:
        """Answer whoever is known, within its limits and the scopes of its token."""
        scope = exchange.scope
        key_id, session_id = authenticated.key_id, authenticated.session_id
        caller = self._caller_of(authenticated)
        leave = await self._throttling.admit(caller, key_id or session_id, scope, receive)
        if isinstance(leave, Reply):
            exchange.is_limited = True
            return leave
        try:
            receiving = await self._step_up.check(caller, url, meter(receive, leave))
            if isinstance(receiving, Reply):
                return receiving
            await self._endpoint.answer(caller, scope, receiving, exchange.send)
        finally:
            leave()
        return None

    def _caller_of(self, authenticated: Authenticated) -> Caller:
        """Whoever calls, with what this very request's token says of them."""
        principal = authenticated.principal
        caller = self._make_caller(principal.name, authenticated.scopes, authenticated.session_id)
        return replace(caller, principal=principal) if principal.claims else caller


def _make_caller(
    label: str | None,
    approval_url: str | None,
    principal: str,
    scopes: frozenset[Permission] | None,
    session_id: str | None,
) -> Caller:
    """Whoever came by a person's sign-in is told where that person allows what waits for them."""
    url = approval_url if session_id is not None else None
    return Caller(Principal(principal), "http", label=label, scopes=scopes, session_id=session_id, approval_url=url)

"""An authorization server in the test's own process, with a provider that knows everybody, and clients that ask it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import secrets
import ssl
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from starlette.types import Receive, Scope, Send

from orgserver.model.access.people import OAuthClient
from orgserver.model.access.principals import Subject
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.digests import digest_text
from orgserver.model.secret import Secret
from orgserver.oauth.documents import DocumentFetcher
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.people.auth_failures import AuthFailures
from orgserver.services.people.identities import Identities
from orgserver.services.signin.browser.authorization import Authorization
from orgserver.services.signin.clients.registry import Clients
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.tokens.access_tokens import AccessTokens, SignedIn, TokenRefusal
from orgserver.services.signin.tokens.authorization_server import AuthorizationServer
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import make_not_found_reply, send_reply
from orgserver.serving.http.signin.authorize import AuthorizeEndpoint
from orgserver.serving.http.signin.endpoints import Endpoint, Endpoints
from orgserver.serving.http.signin.metadata import (
    AUTHORIZE_PATH,
    METADATA_PATH,
    REGISTER_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    answer_metadata,
)
from orgserver.serving.http.signin.register import Registration
from orgserver.serving.http.signin.token import TokenEndpoint
from orgserver.store.people import changes
from orgserver.store.session import Store
from orgserver.store.signin import clients
from orgserver.store.signin.requests import SignInRequest
from orgserver.store.signin.rows import Session
from orgserver.store.transaction import Transaction

from .identity_provider import IDP, Provider

URL, ELSEWHERE = "https://orgs.example.com", "https://other.example.com"
CALLBACK = "http://127.0.0.1:53682/callback"
AGENT = OAuthClient("agent-1", "registered", "Agent", (CALLBACK,))
STRANGER = OAuthClient("stranger-1", "registered", "Stranger", ("https://stranger.example.com/cb",))
DESKTOP = OAuthClient("desktop-1", "registered", "Desktop", ("http://localhost/cb", "http://127.0.0.1/cb"))
ADA = Subject(IDP, "ada@idp")


@dataclass
class Grant:
    """A code, and what its client must show beside it."""

    code: str
    verifier: str
    answer: dict[str, str]
    """All that came back with it."""

    def form(self, **changes: str | None) -> dict[str, str]:
        form = {
            "grant_type": "authorization_code",
            "client_id": AGENT.client_id,
            "code": self.code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
        }
        return merge(form, changes)


@lru_cache
def make_pages(url: str) -> Pages:
    return Pages(url)


class World:
    """The server, and short forms of what is done with it."""

    def __init__(self, store: Store, url: str = URL, **options: Any) -> None:
        self.store = store
        self.options = SignInOptions(url, IDP, "orgserver", **options)
        self.provider = Provider()
        self.requests = store.signin_requests
        self.sessions = store.signin_sessions
        self.failures = AuthFailures(store)
        self.clients = Clients(store, self.options, DocumentFetcher(ssl.create_default_context))
        self.server = AuthorizationServer(store, self.options, self.failures, self.provider)
        self.authorization = Authorization(store, self.options, self.provider)
        self.access_tokens = AccessTokens(store, Identities(store), self.options)
        self.canaries: set[str] = set()
        """What must stand nowhere in clear."""
        self.source: str | None = None
        """None: each request comes from another address, so that each failure is an entry."""
        self.admitted = self.options.url
        self._sources = itertools.count(1)
        self._endpoints = self._make_endpoints()
        transport = httpx2.ASGITransport(app=self._serve)
        self.http = httpx2.AsyncClient(transport=transport, base_url=url, trust_env=False)

    def _make_endpoints(self) -> Endpoints:
        pages = make_pages(self.options.url)
        token = TokenEndpoint(self.server, self.failures)
        authorize = AuthorizeEndpoint(self.authorization, self.clients, self.failures, pages)
        endpoints = {
            METADATA_PATH: Endpoint(answer_metadata(self.options), ("GET",), is_page=False),
            AUTHORIZE_PATH: Endpoint(authorize.answer, ("GET", "POST"), is_page=True),
            TOKEN_PATH: Endpoint(token.answer_token, ("POST",), is_page=False),
            REVOKE_PATH: Endpoint(token.answer_revocation, ("POST",), is_page=False),
        }
        if self.options.allow_registration:
            endpoints[REGISTER_PATH] = Endpoint(Registration(self.clients, self.failures).answer, ("POST",), False)
        return Endpoints(self.options.url, endpoints, pages)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange, url = Exchange(scope, send), urlsplit(self.admitted)
        exchange.source = self.source or f"192.0.2.{next(self._sources)}"
        admitted = Admitted(exchange.source, url.scheme, url.netloc)
        if self._endpoints.serves(scope["path"]):
            reply = await self._endpoints.answer(exchange, admitted, receive)
        else:
            reply = make_not_found_reply()
        await send_reply(exchange.send, reply)

    async def prepare(self) -> None:
        """Have a principal and clients."""

        def prepare(tx: Transaction) -> None:
            changes.add_principal_in(tx, "ada", "person")
            for each in (AGENT, STRANGER, DESKTOP):
                clients.register_in(tx, each, {})

        await self.store.database.write(prepare)

    async def register(self, client: OAuthClient) -> None:
        await self.store.database.write(lambda tx: clients.register_in(tx, client, {}))

    async def close(self) -> None:
        await self.http.aclose()
        await self.server.close()
        await self.clients.close()
        await self.failures.close()

    # What clients and browsers do.

    def ask(self, **changes: str | None) -> dict[str, str]:
        """The parameters of a good request for a code, but for some."""
        verifier, state = self._canary(secrets.token_urlsafe(32)), self._canary("state-" + secrets.token_urlsafe(16))
        good = {
            "response_type": "code",
            "client_id": AGENT.client_id,
            "redirect_uri": CALLBACK,
            "scope": "orgs:read orgs:write",
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        self.verifier = verifier
        return merge(good, changes)

    async def authorize(self, **changes: str | None) -> httpx2.Response:
        """Ask for a code."""
        return await self.http.get(AUTHORIZE_PATH, params=self.ask(**changes))

    async def consent(
        self, reply: httpx2.Response, *, provider_token: str | None = None, scopes: tuple[str, ...] | None = None
    ) -> dict[str, str]:
        """Have the person sign in and allow what was asked; what the client gets back."""
        state, browser = parse(reply.headers["location"])["state"], self.http.cookies["__Host-orgserver-signin"]
        self.canaries |= {state, browser, *([provider_token] if provider_token else [])}
        location = await self.store.database.write(
            lambda tx: self._consent_in(tx, digest_text(state), digest_text(browser), provider_token, scopes)
        )
        self.location = location
        answer = parse(location)
        self._canary(answer["code"])
        return answer

    def _consent_in(
        self, tx: Transaction, state: bytes, browser: bytes, token: str | None, scopes: tuple[str, ...] | None
    ) -> str:
        request = self.requests.take_in(tx, state, browser)
        assert isinstance(request, SignInRequest)
        self.requests.await_consent_in(
            tx, request, principal="ada", person_name="Ada", subject=ADA, auth_time=None,
            provider_token=Secret(token) if token else None,
        )  # fmt: skip
        request = self.requests.finish_in(tx, request.id, browser)
        assert isinstance(request, SignInRequest)
        request = request if scopes is None else replace(request, scopes=scopes)
        client = clients.find_in(tx, request.client_id or "")
        assert client is not None
        return self.server.issue_code_in(tx, request, self.sessions.add_client_in(tx, request, client.client))

    async def grant(self, *, provider_token: str | None = None, **changes: str | None) -> Grant:
        """A code."""
        answer = await self.consent(await self.authorize(**changes), provider_token=provider_token)
        return Grant(answer["code"], self.verifier, answer)

    async def post(self, path: str, form: dict[str, str], **headers: str) -> httpx2.Response:
        reply = await self.http.post(path, data=form, headers=headers)
        if reply.status_code == 200:
            self.canaries |= {text for name, text in reply.json().items() if name.endswith("_token")}
        return reply

    async def token(self, form: dict[str, str]) -> httpx2.Response:
        return await self.post(TOKEN_PATH, form)

    async def sign_in(self, *, provider_token: str | None = None, **changes: str | None) -> dict[str, Any]:
        """Tokens."""
        reply = await self.token((await self.grant(provider_token=provider_token, **changes)).form())
        assert reply.status_code == 200, reply.text
        tokens: dict[str, Any] = reply.json()
        return tokens

    async def refresh(self, refresh_token: str, **changes: str | None) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "client_id": AGENT.client_id, "refresh_token": refresh_token}
        return await self.token(merge(form, changes))

    async def revoke(self, token: str, **changes: str | None) -> httpx2.Response:
        return await self.post(REVOKE_PATH, merge({"token": token, "client_id": AGENT.client_id}, changes))

    async def check(self, access_token: str) -> SignedIn | TokenRefusal:
        return await self.access_tokens.check(Secret(access_token))

    # What stands in the store.

    async def entries(self, **criteria: Any) -> list[AuditEntry]:
        """The newest first."""
        return await AuditLogReader(self.store).newest(EntryFilter(**criteria), 50)

    async def last_failure(self) -> str | None:
        """The code of the newest failed authentication."""
        entries = [entry for entry in await self.entries() if entry.action == "auth_failed"]
        return entries[0].error_code if entries else None

    async def live_sessions(self) -> list[Session]:
        async with self.store.database.reading() as connection:
            return await self.sessions.all(connection)

    async def session(self) -> Session:
        """The only one, whether or not it is over."""
        async with self.store.database.reading() as connection:
            (session,) = await self.sessions.all(connection, ended=True)
        return session

    def find_canaries(self, log: str) -> list[str]:
        """Secrets that stand in the store's files or in a log."""
        folder = self.store.database.file.parent
        text = b"".join(path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()) + log.encode()
        return sorted(each for each in self.canaries if each.encode() in text)

    def _canary(self, text: str) -> str:
        self.canaries.add(text)
        return text


def merge(values: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    """Values with changes; None takes one out."""
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def parse(url: str) -> dict[str, str]:
    """The parameters of a URL, each of which is there once."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def error_of(reply: httpx2.Response) -> tuple[int, str]:
    return reply.status_code, json.loads(reply.text)["error"]

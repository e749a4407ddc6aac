"""The SDK's OAuth client, with a person who signs in and consents where it sends them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.provider.running import RunningProvider
from tests.serving.over_http.signin.walk import HERE, answer_question, browsing, read_answer

_CHOICE = re.compile(r'type="checkbox" name="([a-z:]+)"')


@dataclass
class Storage:
    """What the client keeps."""

    tokens: list[OAuthToken] = field(default_factory=list)
    """The newest is the last."""
    information: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens[-1] if self.tokens else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens.append(tokens)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.information

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.information = client_info


@dataclass
class Connector:
    """A client at a server's URL, and its person's browser, which signs in at the provider."""

    url: str
    provider: RunningProvider
    document_url: str | None = None
    login: str = "ada"
    choices: list[frozenset[str]] = field(default_factory=list)
    """Which scopes the person leaves ticked, time after time; then all of them."""
    transport: httpx2.AsyncBaseTransport | None = None
    storage: Storage = field(default_factory=Storage)
    questions: list[list[str]] = field(default_factory=list)
    """Which scopes the person was asked for, time after time."""
    requests: list[httpx2.Request] = field(default_factory=list)
    """All that the client sent."""

    def __post_init__(self) -> None:
        self._answer: dict[str, str] = {}
        metadata = OAuthClientMetadata(client_name="SDK", redirect_uris=[AnyUrl(HERE)])
        self.oauth = OAuthClientProvider(
            f"{self.url}/mcp", metadata, self.storage, self._send_person, self._hear_answer, self.document_url
        )

    @asynccontextmanager
    async def connect(self, mode: str = "2026-07-28") -> AsyncIterator[Client]:
        """An MCP client that signs in when the server asks for it."""

        async def note(request: httpx2.Request) -> None:
            self.requests.append(request)

        hooks: dict[str, list[Any]] = {"request": [note]}
        async with (
            httpx2.AsyncClient(auth=self.oauth, trust_env=False, transport=self.transport, event_hooks=hooks) as http,
            Client(streamable_http_client(f"{self.url}/mcp", http_client=http), mode=mode) as client,
        ):
            yield client

    def let_token_expire(self) -> None:
        """As the client sees it: the next call begins with a refresh."""
        self.oauth.context.token_expiry_time = 1.0

    async def _send_person(self, url: str) -> None:
        async with browsing(self.url, transport=self.transport) as browser:
            asked = await browser.get(url)
            assert asked.status_code == 303, asked.text
            back = await self.provider.sign_in(asked.headers["location"], self.login)
            page = await browser.get((await browser.get(back)).headers["location"])
            offered = _CHOICE.findall(page.text)
            self.questions.append(offered)
            ticked = self.choices.pop(0) if self.choices else frozenset(offered)
            self._answer = read_answer(await answer_question(browser, page, "allow", *ticked))

    async def _hear_answer(self) -> AuthorizationCodeResult:
        answer = self._answer
        return AuthorizationCodeResult(code=answer["code"], state=answer["state"], iss=answer["iss"])

"""A server with pretend orgs and people, their company's identity provider, and an agent whose client signs in."""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from orgserver.app import App, open_app
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal, Subject
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from tests.conftest import register
from tests.people import add_principal
from tests.provider.running import RunningProvider, running_provider
from tests.serving.over_http.served import Served, serving
from tests.serving.over_http.signin.walk import make_challenge, settings_of

OPERATOR = Caller(Principal("local:operator"), "cli")
SCOPES = "orgs:read orgs:write orgs:delete"
_ARRIVED = b"<!doctype html><html lang=en><title>Connected</title><h1>Connected</h1><p>You may close this page.</p>"


@dataclass
class Agent:
    """A client on this computer: it registers itself, waits for its code, and calls tools."""

    served: Served
    redirect_uri: str
    answers: asyncio.Queue[dict[str, str]]
    client_id: str = ""
    tokens: dict[str, Any] = field(default_factory=dict)
    _verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    async def connect(self, name: str, scope: str = SCOPES) -> str:
        """Register, and say where the person goes."""
        async with self._http() as http:
            response = await http.post("/register", json={"client_name": name, "redirect_uris": [self.redirect_uri]})
            response.raise_for_status()
        self.client_id = response.json()["client_id"]
        return self.make_url(scope)

    def make_url(self, scope: str = SCOPES) -> str:
        """Where the person goes."""
        values = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": self.redirect_uri, "scope": scope,
            "state": "agent-state", "code_challenge": make_challenge(self._verifier), "code_challenge_method": "S256",
            "resource": f"{self.served.url}/mcp",
        }  # fmt: skip
        return f"{self.served.url}/authorize?{urlencode(values)}"

    async def take_tokens(self) -> None:
        """Get tokens for the code that came."""
        answer = await asyncio.wait_for(self.answers.get(), 10)
        assert answer["state"] == "agent-state"
        assert answer["iss"] == self.served.url
        form = {
            "grant_type": "authorization_code", "client_id": self.client_id, "code": answer["code"],
            "redirect_uri": self.redirect_uri, "code_verifier": self._verifier,
        }  # fmt: skip
        async with self._http() as http:
            response = await http.post("/token", data=form)
            response.raise_for_status()
        self.tokens = response.json()

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool; its result, or its error."""
        async with self.served.client(self.tokens["access_token"]) as client:
            result = await client.call_tool(tool, arguments)
        return json.loads(result.content[0].text)  # type: ignore[union-attr]

    async def is_signed_in(self) -> bool:
        """Whether its access token opens anything."""
        async with self.served.raw(self.tokens["access_token"], accept="application/json, text/event-stream") as http:
            response = await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        return response.status_code != 401

    def _http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.served.url, trust_env=False)


@dataclass
class World:
    """All of it."""

    app: App
    served: Served
    provider: RunningProvider
    agent: Agent
    acme: SandboxOrg


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    """Open it, with two orgs and Ada, who may do everything in one of them and looks after this server; and Bob."""
    with tempfile.TemporaryDirectory() as folder, running_provider() as provider:
        settings = read_settings({"home": Path(folder) / "home", **settings_of(provider)}, {})
        async with Sandbox.start(2) as sandbox, open_app(settings) as app:
            await register(app, sandbox)
            await app.registry.update(OPERATOR, "acme", policy={"confirm_deletes": True})
            await add_principal(
                app, "ada", "acme:read,write,delete", "globex:read",
                subjects=(Subject(provider.issuer, "sub-ada"),), roles=("admin", "auditor"),
            )  # fmt: skip
            await add_principal(app, "bob", "acme:read,write")
            async with serving(app, allow_registration=True) as served, _open_agent(served) as agent:
                await provider.set(redirect_uris=[f"{served.url}/signin/callback"])
                yield World(app, served, provider, agent, sandbox.orgs[0])


@asynccontextmanager
async def _open_agent(served: Served) -> AsyncIterator[Agent]:
    """An agent that waits for its code on a port of its own."""
    answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        if target.startswith("/callback"):
            answers.put_nowait(dict(parse_qsl(urlsplit(target).query)))
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(_ARRIVED)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + _ARRIVED)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        yield Agent(served, f"http://127.0.0.1:{port}/callback", answers)

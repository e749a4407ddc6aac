"""A person's way through sign-in over real HTTP: a client that begins it, a browser that keeps cookies, a provider."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from orgserver.app import App
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.store.signin import tables
from tests.faults.http_process import ACCEPTED
from tests.provider.running import CLIENT_ID, CLIENT_SECRET, RunningProvider
from tests.serving.over_http.served import Served, serving

REDIRECT = "http://127.0.0.1/callback"
HERE = "http://127.0.0.1:4711/callback"
"""The same, where the client listens this time."""
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class CookieJar:
    """Keeps cookies as browsers do on their own machine, where ``Secure`` does not ask for TLS."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def add(self, request: httpx2.Request) -> None:
        """Send them."""
        if self.values:
            request.headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.values.items())

    async def take(self, response: httpx2.Response) -> None:
        """Keep what an answer sets."""
        for header in response.headers.get_list("set-cookie"):
            pair, *flags = header.split("; ")
            name, _, value = pair.partition("=")
            assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(flags), header
            self.values.pop(name, None)
            if "Max-Age=0" not in flags:
                self.values[name] = value


@asynccontextmanager
async def browsing(
    url: str, jar: CookieJar | None = None, transport: httpx2.AsyncBaseTransport | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser, which follows nothing by itself."""
    jar = jar or CookieJar()
    hooks: dict[str, list[Any]] = {"request": [jar.add], "response": [jar.take]}
    async with httpx2.AsyncClient(base_url=url, trust_env=False, event_hooks=hooks, transport=transport) as browser:
        yield browser


async def answer_question(
    browser: httpx2.AsyncClient, page: httpx2.Response, decision: str, *scopes: str
) -> httpx2.Response:
    """Send the form of a page that asks for consent."""
    found = _CSRF.search(page.text)
    assert found is not None, page.text
    form = {"csrf": found[1], "decision": decision, **dict.fromkeys(scopes, "on")}
    return await browser.post(str(page.url), data=form, headers={"origin": "null", "sec-fetch-site": "same-origin"})


@dataclass
class Walk:
    """One person's."""

    served: Served
    provider: RunningProvider
    browser: httpx2.AsyncClient
    client_id: str
    login: str = "ada"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = "the client's state"
    redirect_uri: str = HERE

    @property
    def app(self) -> App:
        """What the server serves."""
        return self.served.app

    def authorize_url(self, scope: str | None = "orgs:read orgs:write", **more: str | None) -> str:
        """Where the client sends the person."""
        values = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": scope,
            "state": self.state,
            "code_challenge": make_challenge(self.verifier),
            "code_challenge_method": "S256",
            "resource": f"{self.served.url}/mcp",
        } | more
        return "/authorize?" + urlencode({name: value for name, value in values.items() if value is not None})

    async def reach_provider(self, scope: str | None = "orgs:read orgs:write", **more: str | None) -> str:
        """Begin; the provider's URL."""
        response = await self.browser.get(self.authorize_url(scope, **more))
        assert response.status_code == 303, response.text
        return response.headers["location"]

    async def reach_consent(self, scope: str = "orgs:read orgs:write", **more: str | None) -> httpx2.Response:
        """Begin, sign in, and come to the question."""
        back = await self.provider.sign_in(await self.reach_provider(scope, **more), self.login)
        response = await self.browser.get(back)
        assert response.status_code == 303, response.text
        return await self.browser.get(response.headers["location"])

    async def answer(self, page: httpx2.Response, decision: str = "allow", *scopes: str) -> httpx2.Response:
        """Answer the question."""
        return await answer_question(self.browser, page, decision, *scopes)

    async def get_code(self, *scopes: str) -> str:
        """Allow these scopes; the code that the client gets."""
        response = await self.answer(await self.reach_consent(" ".join(scopes)), "allow", *scopes)
        assert response.status_code == 303, response.text
        answer = read_answer(response, self.redirect_uri)
        assert (answer["state"], answer["iss"]) == (self.state, self.served.url)
        return answer["code"]

    async def ask_tokens(self, **values: str) -> httpx2.Response:
        """The token endpoint's answer."""
        async with httpx2.AsyncClient(base_url=self.served.url, trust_env=False) as client:
            return await client.post("/token", data={"client_id": self.client_id} | values)

    async def get_tokens(self, *scopes: str) -> dict[str, Any]:
        """Allow these scopes; the client's tokens."""
        response = await self.exchange(await self.get_code(*scopes))
        assert response.status_code == 200, response.text
        return response.json()

    async def exchange(self, code: str) -> httpx2.Response:
        """Show a code, with what began it."""
        values = {"redirect_uri": self.redirect_uri, "code_verifier": self.verifier}
        return await self.ask_tokens(grant_type="authorization_code", code=code, **values)

    async def refresh(self, refresh_token: str) -> httpx2.Response:
        """Show a refresh token."""
        return await self.ask_tokens(grant_type="refresh_token", refresh_token=refresh_token)

    async def call(self, access_token: str, tool: str = "salesforce_list_orgs", **arguments: Any) -> httpx2.Response:
        """Call a tool as an old client does."""
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
        async with self.served.raw(access_token, **ACCEPTED) as client:
            return await client.post("/mcp", json=message)

    async def entries(self, **criteria: Any) -> list[AuditEntry]:
        """What is on record, newest first; failures are written before that."""
        await self.app.people.auth_failures.close()
        return await self.app.audit_log.newest(EntryFilter(**criteria), 50)

    async def failures(self) -> list[str]:
        """The codes of failed sign-ins, newest first."""
        return [each.error_code or "" for each in await self.entries(action="auth_failed")]

    async def count_live_sessions(self) -> int:
        """Of clients."""
        async with self.app.store.database.reading() as connection:
            rows = (await connection.execute(tables.sessions.select())).all()
        return sum(row.kind == "client" and row.redeemed_at is not None and row.ended_at is None for row in rows)

    async def find_ends(self) -> list[str]:
        """Why sessions ended, by their entries."""
        lines = [line for entry in await self.entries(action="key") for line in entry.fields or ()]
        return [line.removeprefix("why:") for line in lines if line.startswith("why:")]

    async def count_rows(self, table: str) -> int:
        """Of ``sessions`` or ``requests``."""
        async with self.app.store.database.reading() as connection:
            return len((await connection.execute(getattr(tables, table).select())).all())


def make_challenge(verifier: str) -> str:
    """What a client shows of its verifier beforehand (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def read_answer(response: httpx2.Response, redirect_uri: str = HERE) -> dict[str, str]:
    """What a redirect tells the client."""
    url = response.headers["location"]
    assert url.startswith(redirect_uri + "?"), url
    return dict(parse_qsl(urlsplit(url).query))


def settings_of(provider: RunningProvider, **more: Any) -> dict[str, Any]:
    """What a server is set to that has this provider."""
    return {
        "signin_issuer": provider.issuer,
        "signin_client_id": CLIENT_ID,
        "signin_client_secret": CLIENT_SECRET,
        "signin_groups_claim": "groups",
    } | more


async def register(served: Served, name: str = "Walker", *redirect_uris: str) -> str:
    """A client's id."""
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        metadata = {"client_name": name, "redirect_uris": list(redirect_uris or (REDIRECT,))}
        response = await client.post("/register", json=metadata)
        assert response.status_code == 201, response.text
        return str(response.json()["client_id"])


@asynccontextmanager
async def walking(app: App, provider: RunningProvider, **options: Any) -> AsyncIterator[Walk]:
    """A server with sign-in, a client that is registered there, and a browser."""
    async with serving(app, allow_registration=True, **options) as served:
        await provider.set(redirect_uris=[f"{served.url}/signin/callback"])
        async with browsing(served.url) as browser:
            yield Walk(served, provider, browser, await register(served))

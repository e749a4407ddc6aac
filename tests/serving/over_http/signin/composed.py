"""Own sign-in as it is composed, before an identity provider in a process of its own; a person's browser, and a client."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
from starlette.types import Receive, Scope, Send

from orgserver.app import App
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.secret import Secret
from orgserver.servers.signin import OpenSignIn, open_sign_in
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.signin.options import CALLBACK_PATH, SignInOptions
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.replies import send_reply
from orgserver.store.signin import clients, tables
from tests.provider.running import CLIENT_ID, CLIENT_SECRET, RunningProvider

from .world import AGENT, CALLBACK, challenge_of, merge, parse

URL = "https://orgs.example.com"
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Walk:
    """A server, and short forms of what a person and a client do."""

    app: App
    idp: RunningProvider
    sign_in: OpenSignIn
    http: httpx2.AsyncClient
    """The person's browser."""
    canaries: set[str] = field(default_factory=set)
    """What must stand nowhere in clear."""

    async def begin(self, **changes: str | None) -> str:
        """Have a client ask for a code; where the person is sent."""
        self.verifier, self.state = secrets.token_urlsafe(32), "state-" + secrets.token_urlsafe(16)
        self.canaries |= {self.verifier, self.state}
        good = {
            "response_type": "code", "client_id": AGENT.client_id, "redirect_uri": CALLBACK, "scope": "orgs:read",
            "state": self.state, "code_challenge": challenge_of(self.verifier), "code_challenge_method": "S256",
        }  # fmt: skip
        reply = await self.http.get("/authorize", params=merge(good, changes))
        assert reply.status_code == 303, reply.text
        return reply.headers["location"]

    async def come_back(self, login: str = "ada", **changes: str | None) -> httpx2.Response:
        """Sign in at the provider, and follow where it sends the person back to, with other parameters."""
        back = parse(await self.idp.sign_in(await self.begin(), login))
        self.canaries |= {value for name, value in back.items() if name in ("code", "state")}
        self.back = merge(back, changes)
        return await self.http.get(CALLBACK_PATH, params=self.back)

    async def allow(self, reply: httpx2.Response) -> dict[str, str]:
        """Allow what is asked; what the client gets."""
        assert reply.status_code == 303, reply.text
        page = reply.headers["location"]
        csrf = _CSRF.search((await self.http.get(page)).text)
        assert csrf is not None
        form = {"csrf": csrf[1], "orgs:read": "on", "decision": "allow"}
        reply = await self.http.post(page, data=form, headers={"origin": URL})
        assert reply.status_code == 303, reply.text
        return parse(reply.headers["location"])

    async def get_tokens(self) -> dict[str, Any]:
        """Go all the way."""
        answer = await self.allow(await self.come_back())
        return (await self.post_token(code=answer["code"], code_verifier=self.verifier, redirect_uri=CALLBACK)).json()

    async def post_token(self, **form: str) -> httpx2.Response:
        kind = "refresh_token" if "refresh_token" in form else "authorization_code"
        reply = await self.http.post("/token", data={"grant_type": kind, "client_id": AGENT.client_id} | form)
        if reply.status_code == 200:
            self.canaries |= {text for name, text in reply.json().items() if name.endswith("_token")}
        return reply

    async def last_failure(self) -> AuditEntry:
        """The newest failed authentication."""
        entries = await AuditLogReader(self.app.store).newest(EntryFilter(action="auth_failed"), 1)
        return entries[0]

    async def count(self, table: str) -> int:
        """Rows of ``requests`` or ``sessions``."""
        async with self.app.store.database.reading() as connection:
            return len((await connection.execute(getattr(tables, table).select())).all())

    def find_canaries(self, log: str) -> list[str]:
        """Secrets that stand in the store's files or in a log."""
        folder = self.app.store.database.file.parent
        text = b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()) + log.encode()
        return sorted(each for each in self.canaries if each.encode() in text)


@asynccontextmanager
async def walking(app: App, idp: RunningProvider, **options: Any) -> AsyncIterator[Walk]:
    """Serve sign-in until the block ends; people who are new get a principal."""
    more: dict[str, Any] = {"new": "create", "groups_claim": "groups", "names": frozenset()} | options
    signing = SignInOptions(URL, idp.issuer, CLIENT_ID, Secret(CLIENT_SECRET), **more)
    await app.store.database.write(lambda tx: clients.register_in(tx, AGENT, {}))
    sources = itertools.count(1)
    async with open_sign_in(app, signing) as sign_in:

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            exchange = Exchange(scope, send)
            exchange.source = f"192.0.2.{next(sources)}"
            admitted = Admitted(exchange.source, "https", urlsplit(URL).netloc)
            await send_reply(exchange.send, await sign_in.endpoints.answer(exchange, admitted, receive))

        transport = httpx2.ASGITransport(app=serve)
        async with httpx2.AsyncClient(transport=transport, base_url=URL, trust_env=False) as http:
            yield Walk(app, idp, sign_in, http)

"""Two replicas that answer ``/connect/`` by turns, and people's browsers."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
from sqlalchemy import update
from starlette.types import Receive, Scope, Send

from orgserver.app import App
from orgserver.model.access.logins import Identity
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.orgs import Connection, Org
from orgserver.sandbox.org import SandboxOrg
from orgserver.servers.connect import make_connect_endpoints, make_connections
from orgserver.services.connections.composition import BrowserConnections
from orgserver.services.connections.links import CALLBACK_PATH
from orgserver.services.people.requests import KeyChanges
from orgserver.services.signin.browser.me_sessions import Browsers
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import send_reply
from orgserver.serving.http.signin import cookies
from orgserver.serving.http.signin.endpoints import Endpoints
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs import policies
from orgserver.store.transaction import Transaction
from tests.conftest import OpenApp
from tests.people import OPERATOR, principal_changes
from tests.services.signin.browsers import UrlsAlone, add_browser
from tests.serving.over_http.people.page import Page, check_headers, read_page

URL = "https://orgs.example.com"
FORM = {"origin": URL}


@dataclass
class World:
    """The server, and short forms of what people do."""

    app: App
    """One of the replicas."""
    connections: BrowserConnections
    endpoints: list[Endpoints]
    acme: SandboxOrg
    keys: dict[str, str] = field(default_factory=dict)
    _turns: Any = field(default_factory=itertools.count)

    async def add_person(self, name: str, *grants: str) -> None:
        """Add a principal with a key."""
        changes = principal_changes(*grants, keys=KeyChanges(new=True))
        added = await self.app.people.principals.add(OPERATOR, name, changes)
        assert added.key is not None
        self.keys[name] = added.key.text.reveal()

    async def org(self, alias: str = "acme") -> Org:
        await self.app.access.reload()
        return (await self.app.access.catalog()).by_alias[alias]

    async def ask(self, principal: str, *, replace: bool = False) -> str:
        """A link, as a call makes it; its path."""
        link = await self.connections.links.make(principal, await self.org(), replace=replace)
        return link.url.removeprefix(URL)

    def browser(self) -> Browser:
        """A new one."""
        transport = httpx2.ASGITransport(app=self._serve)
        return Browser(self, httpx2.AsyncClient(transport=transport, base_url=URL, trust_env=False))

    async def connection(self, principal: str, alias: str = "acme") -> Connection | None:
        org = await self.org(alias)
        return (await self.app.access.catalog()).connections.get((org.row_id, principal))

    async def newest(self, **criteria: Any) -> AuditEntry:
        """The newest entry."""
        return (await self.app.audit_log.newest(EntryFilter(**criteria), 1))[0]

    async def revocations(self) -> int:
        """How many tokens Salesforce is to be told of."""
        async with self.app.store.database.reading() as connection:
            return (await self.app.store.revocations.waiting(connection))[0]

    async def count_links(self) -> int:
        async with self.app.store.database.reading() as connection:
            return await self.app.store.connect_links.count(connection)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        turn = next(self._turns)
        exchange = Exchange(scope, send)
        exchange.source = f"192.0.{turn // 250}.{turn % 250}"
        admitted = Admitted(exchange.source, "https", urlsplit(URL).netloc)
        endpoints = self.endpoints[turn % len(self.endpoints)]
        assert endpoints.serves(scope["path"]), scope["path"]
        await send_reply(exchange.send, await endpoints.answer(exchange, admitted, receive))


@dataclass
class Browser:
    """Somebody's."""

    world: World
    http: httpx2.AsyncClient

    async def sign_in(self, principal: str) -> str:
        """Have somebody signed in here; the session's id."""
        cookie = cookies.make_cookie_value().reveal()
        session_id = await add_browser(self.world.app, principal, cookie)
        self.http.cookies.set(cookies.ME, cookie, domain="orgs.example.com")
        return session_id

    async def get(self, target: str) -> httpx2.Response:
        return await self.http.get(target)

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        return await self.http.post(path, data=fields, headers=FORM)

    async def show_key(self, path: str, key: str) -> httpx2.Response:
        """Fill in the form of who one is."""
        page = page_of(await self.get(path))
        return await self.post(f"{path}/key", csrf=page.fields["csrf"], key=key)

    async def begin(self, path: str) -> str:
        """Press the button of our page; where the browser is sent."""
        page = page_of(await self.get(path))
        assert page.one("form").attributes["action"] == f"{path}/begin", page.one("body").text
        reply = await self.post(f"{path}/begin", csrf=page.fields["csrf"])
        assert reply.status_code == 303, reply.text
        return reply.headers["location"]

    async def come_back(self, location: str, **changes: str | None) -> httpx2.Response:
        """Log in at Salesforce, and bring its answer back, with other parameters."""
        return await self.get(f"{CALLBACK_PATH}?{urlencode(await log_in(location, **changes))}")

    async def answer(self, path: str) -> str:
        """Go as far as the question whether it is stored; its path."""
        reply = await self.come_back(await self.begin(path))
        assert reply.status_code == 303, reply.text
        return reply.headers["location"]

    async def decide(self, result: str, decision: str = "store") -> httpx2.Response:
        """Press one of the buttons there."""
        page = page_of(await self.get(result))
        fields = {name: page.fields[name] for name in ("csrf", "link")}
        return await self.post(f"/connect/{decision}", **fields)

    async def connect(self, path: str) -> httpx2.Response:
        """Go all the way."""
        return await self.decide(await self.answer(path))


async def log_in(location: str, **changes: str | None) -> dict[str, str]:
    """What Salesforce sends a browser back with, but for some parameters."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        reply = await http.get(location)
    assert reply.status_code == 302, reply.text
    answer = dict(parse_qsl(urlsplit(reply.headers["location"]).query))
    return {name: value for name, value in (answer | changes).items() if value is not None}


def page_of(reply: httpx2.Response, status: int = 200) -> Page:
    """The page of a reply, with the headers that all have."""
    assert reply.status_code == status, reply.text
    check_headers(dict(reply.headers))
    return read_page(reply.content)


def title_of(reply: httpx2.Response, status: int) -> str:
    """What a page of error says first."""
    return page_of(reply, status).texts("h1")[0]


async def set_org(app: App, alias: str, /, *, identity: Identity | None = None, **columns: Any) -> None:
    """Change an org past the commands."""
    org = (await app.access.reload()).by_alias[alias]

    def change(tx: Transaction) -> None:
        if identity is not None:
            policies.identify_in(tx, org.row_id, identity, None)
        if columns:
            tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == org.row_id).values(**columns))
        changed_in(tx, "org", org.row_id)

    await app.store.database.write(change)


@asynccontextmanager
async def open_world(app: App, open_again: OpenApp, acme: SandboxOrg, *, sign_in: bool = True) -> AsyncIterator[World]:
    """Two replicas over one store; alice and bob may use acme."""
    acme.callbacks.append(f"{URL}{CALLBACK_PATH}")
    await set_org(app, "acme", identity="own")
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(open_again())
        made = [_make_replica(each, sign_in) for each in (app, other)]
        world = World(app, made[0][0], [endpoints for _, endpoints in made], acme)
        for name in ("alice", "bob"):
            await world.add_person(name, "acme:read,write")
        yield world


def _make_replica(app: App, sign_in: bool) -> tuple[BrowserConnections, Endpoints]:
    pages = Pages(URL)
    connections = make_connections(app, URL)
    browsers = Browsers(app.store, app.people.identities, UrlsAlone()) if sign_in else None
    return connections, Endpoints(URL, make_connect_endpoints(app, pages, connections, browsers), pages)

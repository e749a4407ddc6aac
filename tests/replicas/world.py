"""Four servers in processes of their own on one PostgreSQL database, behind a proxy; each has a home for itself."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.services.people.requests import KeyChanges
from tests.faults.http_process import PROGRAM, HttpProcess, serving_http, serving_http_forked
from tests.people import OPERATOR, principal_changes
from tests.provider.running import RunningProvider
from tests.replicas.proxy import RoundRobin, forwarding
from tests.serving.both_ways import FORM, MODERN, call_of
from tests.serving.over_http.both_ways import headers_of
from tests.serving.over_http.signin.walk import settings_of

REPLICAS = 4
CALL_SECONDS = 90.0
"""For a caller: the proxy has given up before."""
LIMITS = {
    "ORGSERVER_HEARTBEAT_SECONDS": "0.2",
    "ORGSERVER_HTTP_RATE": "10000",
    "ORGSERVER_HTTP_IN_FLIGHT": "100",
}
"""One principal does in these tests what many would do."""


@dataclass
class Replicas:
    """The servers, the proxy in front of them, and an operator at the same database."""

    folder: Path
    database_url: str
    proxy: RoundRobin
    sandbox: Sandbox
    app: App
    """The operator's, in this process."""
    settings: dict[str, str]
    options: list[str]
    stack: AsyncExitStack
    client: httpx2.AsyncClient
    """Of those who call: a new one for each call would cost more than the call."""
    forks: bool
    """Whether servers of this version are forked from one process that has imported the program."""
    processes: dict[str, HttpProcess] = field(default_factory=dict)
    """By URL; those that run."""
    provider: Any = None
    """Where people sign in."""
    _number: int = 0

    @property
    def acme(self) -> SandboxOrg:
        return self.sandbox.orgs[0]

    @property
    def urls(self) -> list[str]:
        """Of those that take requests."""
        return self.proxy.servers

    async def start(self, command: Sequence[str] = PROGRAM) -> str:
        """Start one more, and have the proxy send requests there once it is ready; its URL."""
        self._number += 1
        home = self.folder / f"home-{self._number}"
        address = f"127.0.0.1:{_free_port()}"
        if self.forks and command is PROGRAM:
            serving = serving_http_forked(home, *self.options, address=address, **self.settings)
        else:
            serving = serving_http(home, *self.options, command=command, address=address, **self.settings)
        process = await self.stack.enter_async_context(serving)
        url = f"http://{address}"
        self.processes[url] = process
        await self.wait_until_ready(url)
        self.proxy.servers.append(url)
        return url

    async def wait_until_ready(self, url: str) -> None:
        """As a load balancer asks."""
        async with asyncio.timeout(90), httpx2.AsyncClient(base_url=url, trust_env=False) as client:
            while True:
                with suppress(httpx2.TransportError):
                    if (await client.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)

    async def stop(self, url: str) -> None:
        """End one as an upgrade does: no more requests, then SIGTERM."""
        await self.proxy.take_out(url)
        process = self.processes.pop(url)
        process.process.terminate()
        assert await process.read_end() == 0, process.log

    async def kill(self, url: str) -> None:
        """End one as a power cut does; the proxy learns it from those requests that fail."""
        process = self.processes.pop(url)
        process.process.kill()
        await process.process.wait()

    async def add_person(self, name: str, *grants: str, **more: Any) -> str:
        """A principal's API key."""
        changes = principal_changes(*grants, keys=KeyChanges(new=True), **more)
        changed = await self.app.people.principals.add(OPERATOR, name, changes)
        assert changed.key is not None
        return changed.key.text.reveal()

    async def post(
        self, key: str, tool: str, *, version: str = MODERN, at: str | None = None, more: Any = None, **arguments: Any
    ) -> httpx2.Response:
        """Call a tool, of whichever replica's turn it is, or at one of them."""
        call = json.loads(call_of(version, tool, 1, FORM, **arguments))
        call["params"] |= more or {}
        body = json.dumps(call).encode()
        host = {"host": self.proxy.url.removeprefix("http://")}
        headers: Any = {"authorization": f"Bearer {key}"} | headers_of(version, body) | host
        return await self.client.post(f"{at or self.proxy.url}/mcp", content=body, headers=headers)

    async def call(self, key: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that succeeds; what it answered."""
        return content_of(await self.post(key, tool, **arguments))


def result_of(response: httpx2.Response) -> dict[str, Any]:
    """The result in a response, whichever form that has."""
    assert response.status_code == 200, (response.status_code, response.text)
    text = response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        text = text.replace("\r\n", "\n").strip().rpartition("data: ")[2]
    result: dict[str, Any] = json.loads(text)["result"]
    return result


def content_of(response: httpx2.Response) -> dict[str, Any]:
    """What a tool that succeeded answered."""
    result = result_of(response)
    assert not result.get("isError"), result
    content: dict[str, Any] = result["structuredContent"]
    return content


def code_of(response: httpx2.Response) -> str:
    """The code of the error that a tool answered."""
    return str(json.loads(result_of(response)["content"][0]["text"])["error"]["code"])


@asynccontextmanager
async def replicas(
    folder: Path,
    database_url: str,
    count: int = REPLICAS,
    provider: RunningProvider | None = None,
    *,
    forks: bool = False,
    abandoned_seconds: int = 1,
    **settings: str,
) -> AsyncIterator[Replicas]:
    """Run so many, with two pretend orgs and an operator; after so long a silence a server counts as gone."""
    home = folder / "operator"
    own = {"home": home, "database_url": database_url, "abandoned_seconds": abandoned_seconds}
    read = read_settings(own | _of(provider), {})
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox.start(2))
        app = await stack.enter_async_context(open_app(read))
        await register(app, sandbox)
        proxy = await stack.enter_async_context(forwarding())
        of_servers = LIMITS | settings | {f"ORGSERVER_{name.upper()}": value for name, value in _of(provider).items()}
        of_servers["ORGSERVER_DATABASE_URL"] = database_url
        of_servers["ORGSERVER_ABANDONED_SECONDS"] = str(abandoned_seconds)
        of_servers["ORGSERVER_MASTER_KEY_FILE"] = str(home / "master.key")
        options = ["--public-url", proxy.url] + (["--allow-registration"] if provider is not None else [])
        client = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=CALL_SECONDS))
        world = Replicas(folder, database_url, proxy, sandbox, app, of_servers, options, stack, client, forks)
        if provider is not None:
            await provider.set(redirect_uris=[f"{proxy.url}/signin/callback"])
        await asyncio.gather(*(world.start() for _ in range(count)))
        yield world


def _free_port() -> int:
    """Known before a server starts: what it says of itself is the proxy's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _of(provider: RunningProvider | None) -> dict[str, str]:
    return settings_of(provider) if provider is not None else {}

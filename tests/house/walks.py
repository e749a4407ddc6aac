"""Five walks through the product, each traced: a create, a refresh, a bulk change, an audit export, a web login."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
from mcp.client.client import Client
from mcp_types import ElicitResult

from orgserver.app import open_app
from orgserver.cli.main import cli
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Scope
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.serving.server import build_server

from .tracing import Tracer

_RUNS = 3
_ENTRIES = 20
_ROWS = 201
"""One more than travel in one request."""

Action = Callable[[], Awaitable[None]]
Figures = dict[str, int]


def measure_walks() -> dict[str, Figures]:
    """The figures of each walk, by its name."""
    for name in [name for name in os.environ if name.startswith("ORGSERVER_")]:
        del os.environ[name]
    os.dup2(os.pipe()[0], 0)  # a standard input that is no terminal and never ends
    tracer = Tracer()
    tracer.install()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ORGSERVER_HOME"] = str(Path(folder) / "home")
        return asyncio.run(_walk_all(tracer, Path(folder)))


async def _walk_all(tracer: Tracer, folder: Path) -> dict[str, Figures]:
    walks: dict[str, Figures] = {}
    async with Sandbox.start(1) as sandbox:
        (org,) = sandbox.orgs
        async with open_app(read_settings({"home": folder / "home"}, {})) as app:
            await register(app, sandbox)
            scope = Scope(toolsets=frozenset({"all"}))
            server = build_server(app.services, principal=Principal("local:walker"), scope=scope)
            async with Client(server, elicitation_callback=_accept) as client:
                calls = _Calls(client, org)
                walks["create"] = await _measure(tracer, calls.create)
                walks["refresh"] = await _measure(tracer, calls.refresh)
                walks["bulk change"] = await _measure(tracer, calls.change_many)
                for _ in range(_ENTRIES):
                    await calls.create()
        commands = _Commands(org, folder / "entries.jsonl")
        walks["audit export"] = await _measure(tracer, commands.export)
        walks["web login"] = await _measure(tracer, commands.add_org, before=commands.remove_org)
    return walks


async def _measure(tracer: Tracer, action: Action, before: Action | None = None) -> Figures:
    """The medians of some runs, after one that imports and opens what a warm process has."""
    runs: list[Figures] = []
    for number in range(1 + _RUNS):
        if before is not None:
            await before()
        with tracer.recording() as trace:
            await action()
        if number:
            runs.append(trace.figures())
    return {name: statistics.median_low(run[name] for run in runs) for name in runs[0]}


async def _accept(context: Any, params: Any) -> ElicitResult:
    del context, params
    return ElicitResult(action="accept", content={})


class _Calls:
    """Tool calls of an MCP client in this process."""

    def __init__(self, client: Client, org: SandboxOrg) -> None:
        self._client = client
        self._org = org

    async def create(self) -> None:
        await self._call("salesforce_create_contact", data={"LastName": "Lovelace"})

    async def refresh(self) -> None:
        """A create whose access token is refused: a new one, a new refresh token, and the create again."""
        self._org.expire_access_tokens()
        refreshes, refresh_token = self._org.counters.refreshes, self._org.refresh_token
        await self.create()
        assert self._org.counters.refreshes == refreshes + 1
        assert self._org.refresh_token != refresh_token

    async def change_many(self) -> None:
        records = [{"LastName": f"Number {number}"} for number in range(_ROWS)]
        await self._call("salesforce_change_records", object="Contact", action="create", records=records)

    async def _call(self, tool: str, **arguments: Any) -> None:
        result = await self._client.call_tool(tool, {"org": self._org.alias} | arguments)
        assert not getattr(result, "is_error", True), result


class _Commands:
    """Commands, each in a thread of this process, for it has an event loop of its own."""

    def __init__(self, org: SandboxOrg, file: Path) -> None:
        self._org = org
        self._file = file
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._callback = f"http://localhost:{free.getsockname()[1]}/OauthRedirect"
        org.callbacks.append(self._callback)

    async def export(self) -> None:
        await _run(_Terminal(), "audit", "export", "--format", "jsonl", "--output", str(self._file))
        assert len(self._file.read_text("utf-8").splitlines()) > _ENTRIES
        self._file.unlink()

    async def remove_org(self) -> None:
        await _run(_Terminal(), "remove-org", self._org.alias, "--yes")

    async def add_org(self) -> None:
        """The command waits for a browser, which is sent on to the callback as soon as the login's address is shown."""
        os.environ["ORGSERVER_CLIENT_SECRET"] = self._org.client_secret  # the command takes it out
        terminal, host = _Terminal(), self._org.url.partition("://")[2]
        await asyncio.gather(
            _run(
                terminal, "add-org", self._org.alias, "--auth", "web", "--login-url", self._org.url,
                "--trust-host", host, "--client-id", self._org.client_id, "--callback-url", self._callback,
            ),
            _log_in(terminal),
        )  # fmt: skip


class _Terminal(io.StringIO):
    """What a command prints; the address of a login as soon as its callback is listened at."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._address = ""
        self.address: asyncio.Future[str] = self._loop.create_future()

    def write(self, text: str) -> int:
        if text.startswith("http"):
            self._address = text.strip()
        if text.startswith("Waiting for the browser"):
            self._loop.call_soon_threadsafe(self.address.set_result, self._address)
        return super().write(text)


async def _log_in(terminal: _Terminal) -> None:
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = await browser.get(await asyncio.wait_for(terminal.address, 30))
        await browser.get(page.headers["location"])


async def _run(terminal: _Terminal, *words: str) -> None:
    with redirect_stdout(terminal), redirect_stderr(terminal):
        code = await asyncio.to_thread(_exit_code, words)
    assert not code, terminal.getvalue()


def _exit_code(words: tuple[str, ...]) -> Any:
    try:
        return cli(list(words), prog_name="orgserver")
    except SystemExit as end:
        return end.code

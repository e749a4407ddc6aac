"""What each client does with a server over HTTP, through one door; every one shows a key and none has it in its arguments."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from orgserver.sandbox.org import SandboxOrg
from tests.clients.npm import Packages
from tests.clients.running import run

from .doors import Door
from .model import Model, serving_model

HERE = Path(__file__).parent
SLOW_SECONDS = 1.5
_WIDTH = 150
_CHANGE = {
    "org": "acme", "object": "Contact", "action": "update", "soql": "SELECT Id FROM Contact", "data": {"Department": "R"},
}  # fmt: skip
_UNAUTHORIZED = 401
_PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
_FORGED = "203.0.113.9"
_WANTED = ("salesforce_list_contacts", {"org": "acme", "limit": 1})
"""What the stand-in for a model has its client call."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A client before a door, with the key of somebody who may read and write acme, and knows of no other org."""

    door: Door
    key: str
    acme: SandboxOrg
    packages: Packages
    folder: Path
    """An empty one, this client's home."""
    cancellations: Callable[[], Awaitable[int]]
    """How many calls the audit log has that were cancelled."""

    @property
    def url(self) -> str:
        return f"{self.door.url}/mcp"

    async def run(self, *command: str, **variables: str) -> str:
        """Run a client's command to its end; it must go well."""
        ours = {"HOME": str(self.folder), "PATH": self.packages.path, "NO_COLOR": "1", "MCP_KEY": self.key}
        shown = " ".join(command).replace(str(self.packages.folder), "…")
        print(f"$ {shown}", flush=True)
        outcome = await run(*command, environment=ours | self.door.environment | variables, folder=self.folder)
        assert self.key not in outcome.stdout + outcome.stderr, "the key was printed"
        assert outcome.code == 0, outcome.stdout + outcome.stderr
        return outcome.stdout

    async def script(self, name: str) -> None:
        """Run a script of ours with Node, from where it finds the packages."""
        copy = self.packages.folder / name
        copy.write_text((HERE / name).read_text("utf-8"), "utf-8")
        print((await self.run("node", str(copy), self.url)).rstrip())

    @asynccontextmanager
    async def http(self, key: str | None) -> AsyncIterator[httpx2.AsyncClient]:
        """A client of HTTP that shows a key, or none."""
        trust = True if self.door.ca_file is None else ssl.create_default_context(cafile=self.door.ca_file)
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(headers=headers, verify=trust, trust_env=False) as client:
            yield client


def say(what: str, text: Any) -> None:
    """A line of the transcript."""
    text = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    print(f"{what:<12} {text if len(text) <= _WIDTH else text[:_WIDTH] + '…'}", flush=True)


@contextmanager
def _slowly(acme: SandboxOrg) -> Iterator[None]:
    """Many records are changed slowly meanwhile."""
    acme.fault("delay", path=".*/composite/.*", seconds=SLOW_SECONDS, times=10)
    try:
        yield
    finally:
        acme.faults.clear()


async def strangers(visit: Visit) -> None:
    """Without a key, and with one that opens nothing, there is no answer but 401."""
    accept = {"accept": "application/json, text/event-stream"}
    for key in (None, "osk_" + "a" * 48):
        async with visit.http(key) as client:
            reply = await client.post(visit.url, json=_PING, headers=accept)
        say("no key" if key is None else "wrong key", f"{reply.status_code} {reply.headers['www-authenticate']}")
        assert reply.status_code == _UNAUTHORIZED


async def forger(visit: Visit) -> None:
    """What a client says of its way here is not believed: neither its address, nor for which host it asks."""
    headers = {
        "accept": "application/json, text/event-stream",
        "forwarded": f"for={_FORGED};host=evil.example;proto=http",
        "x-forwarded-for": _FORGED,
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "http",
    }
    async with visit.http(visit.key) as client:
        reply = await client.post(visit.url, json=_PING, headers=headers)
    log = ""
    async with asyncio.timeout(10):
        while "source=127.0.0.1" not in log:  # it is written in batches
            await asyncio.sleep(0.05)
            log = visit.door.log.read_text("utf-8")
    say("forged", f"{reply.status_code}; in the log {'stands' if _FORGED in log else 'does not stand'} {_FORGED}")
    assert (reply.status_code, _FORGED in log) == (200, False), reply.text


async def python_sdk(visit: Visit) -> None:
    """The Python SDK's client in both generations: a call, progress as it comes."""
    for generation in ("legacy", "auto"):
        async with (
            visit.http(visit.key) as http,
            Client(streamable_http_client(visit.url, http_client=http), mode=generation) as client,
        ):
            say("connected", f"{client.server_info.name}, MCP {client.protocol_version}")
            say("tools/list", f"{len((await client.list_tools()).tools)} tools")
            refusal = await client.call_tool("salesforce_list_contacts", {"org": "globex"})
            say("error", refusal.content[0].text)  # type: ignore[union-attr]
            assert refusal.is_error
            await _progress(visit, client)


async def _progress(visit: Visit, client: Client) -> None:
    loop, times = asyncio.get_running_loop(), []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        times.append(loop.time())
        say("  progress", f"{progress:g} of {total or 0:g}: {message or ''}")

    with _slowly(visit.acme):
        result = await client.call_tool("salesforce_change_records", _CHANGE, progress_callback=note)
    assert not result.is_error, result.content
    assert times, "no progress was reported"
    say("", f"the first progress came {(loop.time() - times[0]) * 1000:.0f} ms before the result")
    assert loop.time() - times[0] >= SLOW_SECONDS / 3, "progress was held back"


async def gone(visit: Visit) -> None:
    """A client that goes away ends its call, through a proxy too."""
    before = await visit.cancellations()
    call = {"name": "salesforce_query", "arguments": {"org": "acme", "soql": "SELECT Id FROM Contact"}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
    visit.acme.fault("delay", path=".*/query.*", seconds=20)
    try:
        async with visit.http(visit.key) as client:
            try:
                await client.post(visit.url, json=request, headers=headers, timeout=1.0)
            except httpx2.TimeoutException:
                say("gone", "the client went away while Salesforce thought about it")
            else:
                raise AssertionError("it was not slow")
        async with asyncio.timeout(5):
            while await visit.cancellations() == before:
                await asyncio.sleep(0.1)
        say("", "its call ended as CANCELLED")
    finally:
        visit.acme.faults.clear()


async def typescript_sdk(visit: Visit) -> None:
    """The TypeScript SDK's client: the same."""
    with _slowly(visit.acme):
        await visit.script("typescript_sdk.mjs")


async def ai_sdk(visit: Visit) -> None:
    """Vercel's AI SDK: its tools, executed as an agent executes them."""
    await visit.script("ai_sdk.mjs")


async def inspector(visit: Visit) -> None:
    """The Inspector's command line, with a file that holds the key."""
    entry = {"type": "streamable-http", "url": visit.url, "headers": {"Authorization": f"Bearer {visit.key}"}}
    config = visit.folder / "mcp.json"
    config.touch(0o600)
    config.write_text(json.dumps({"mcpServers": {"orgserver": entry}}), "utf-8")
    begin = ("mcp-inspector", "--cli", "--config", str(config), "--server", "orgserver", "--method")
    tools = json.loads(await visit.run(*begin, "tools/list"))["tools"]
    say("  result", f"{len(tools)} tools")
    call = ("tools/call", "--tool-name", "salesforce_list_contacts", "--tool-arg", "org=acme", "limit=1")
    result = json.loads(await visit.run(*begin, *call))
    say("  result", result["content"][0]["text"])
    assert not result.get("isError")


async def claude_code(visit: Visit) -> None:
    """Claude Code connects with a key from its environment, and calls what a stand-in for a model wants."""
    header = "Authorization: Bearer ${MCP_KEY}"
    add = ("claude", "mcp", "add", "--transport", "http", "--scope", "user", "orgserver", visit.url, "--header", header)
    await visit.run(*add)
    health = await visit.run("claude", "mcp", "list")
    say("  result", health.strip().splitlines()[-1])
    assert "Connected" in health
    async with serving_model(Model(*_WANTED)) as model:
        variables = {
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
        allowed = f"mcp__orgserver__{model.tool}"
        await visit.run("claude", "--print", "List a contact of acme.", "--allowedTools", allowed, **variables)
    _show_result(model)


async def codex(visit: Visit) -> None:
    """Codex reads the name of the variable that has the key, and calls what a stand-in for a model wants."""
    await visit.run("codex", "mcp", "add", "orgserver", "--url", visit.url, "--bearer-token-env-var", "MCP_KEY")
    async with serving_model(Model(*_WANTED)) as model:
        provider = f'{{name="stand-in",base_url="{model.url}/v1",wire_api="responses",env_key="NO_KEY"}}'
        settings = ('model="none"', 'model_provider="stand-in"', f"model_providers.stand-in={provider}")
        words = [word for setting in settings for word in ("--config", setting)]
        begin = ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
        await visit.run(*begin, *words, "List a contact of acme.", NO_KEY="none")
    _show_result(model)


def _show_result(model: Model) -> None:
    (result,) = model.results
    say("  tool", result)
    assert "records" in result


async def gemini(visit: Visit) -> None:
    """The Gemini command connects, in a folder that it trusts."""
    settings = visit.folder / ".gemini" / "settings.json"
    settings.parent.mkdir()
    entry = {"httpUrl": visit.url, "headers": {"Authorization": "Bearer $MCP_KEY"}}
    settings.write_text(json.dumps({"mcpServers": {"orgserver": entry}}), "utf-8")
    (settings.parent / "trustedFolders.json").write_text(json.dumps({str(visit.folder): "TRUST_FOLDER"}), "utf-8")
    outcome = await run(
        "gemini", "mcp", "list", folder=visit.folder,
        environment={"HOME": str(visit.folder), "PATH": visit.packages.path, "NO_COLOR": "1", "MCP_KEY": visit.key}
        | visit.door.environment,
    )  # fmt: skip
    text = outcome.stdout + outcome.stderr
    say("$ gemini", text.strip().splitlines()[-1] if text.strip() else "")
    assert "Connected" in text, text
    assert visit.key not in text

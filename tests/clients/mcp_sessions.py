"""MCP clients that nobody here wrote drive ``orgserver serve``: ``python -m tests.clients.mcp_sessions``.

The Python SDK's client (both protocol generations) and, where npm is at hand, the TypeScript SDK's and the Inspector's
command line: list, call, error, progress, cancel, elicitation, a record by its address, a prompt. It prints a readable
log and, at the end, what the audit log says of it. ``--packages FOLDER`` uses, or fills, a folder that stays.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult, PromptReference

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.cli.process import operator
from orgserver.config import read_settings
from orgserver.model.audit import EntryFilter
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox

NPM = ("node@22", "@modelcontextprotocol/sdk", "@modelcontextprotocol/inspector", "zod")
SERVE = ("-m", "orgserver", "serve", "--toolset", "all")
PATIENCE = 1.0
_LONGEST = 120
_WIDTH = 150
BUSY = (
    ("salesforce_change_records", {"org": "globex", "object": "Contact", "action": "update",
                                   "soql": "SELECT Id FROM Contact", "data": {"Department": "Research"}}),
    ("salesforce_query_orgs", {"orgs": ["*"], "soql": "SELECT Id FROM Contact"}),
)  # fmt: skip
"""Tools that report progress; the first that the server has is called."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A home with two pretend orgs in it; acme wants deletes confirmed."""

    home: Path
    acme: SandboxOrg

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORGSERVER_")}
        ours = {"ORGSERVER_HOME": str(self.home), "ORGSERVER_LOG_LEVEL": "error", "ORGSERVER_NOTIFICATIONS": "off"}
        return kept | ours


def main() -> int:
    """Play them all."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.mcp_sessions", description=__doc__)
    parser.add_argument("--packages", type=Path, help="a folder for the npm packages; a temporary one if not given")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orgserver-sessions-") as folder:
        packages = (told.packages or Path(folder) / "packages").resolve()
        return asyncio.run(_play(Path(folder) / "home", packages))


async def _play(home: Path, packages: Path) -> int:
    failed = 0
    async with _ground(home) as ground:
        for generation in ("legacy", "auto"):
            failed += not await _tried(f"Python SDK, {generation}", python_sdk(ground, generation))
        if shutil.which("npm") is None:
            print("\nnpm is not on the path: no TypeScript SDK, no Inspector")
        else:
            path = await _npm(packages)
            failed += not await _tried("TypeScript SDK", typescript_sdk(ground, packages, path))
            failed += not await _tried("Inspector, command line", inspector(ground, path))
        await _audit(home)
    print(f"\n{'every session went through' if not failed else f'{failed} sessions failed'}")
    return 1 if failed else 0


async def _tried(name: str, session: Any) -> bool:
    print(f"\n== {name}", flush=True)
    try:
        async with asyncio.timeout(_LONGEST):
            await session
    except (AssertionError, OSError, TimeoutError, MCPError) as error:
        print(f"FAILED: {error!r}")
        return False
    return True


@asynccontextmanager
async def _ground(home: Path) -> AsyncIterator[Ground]:
    async with Sandbox.start(2) as sandbox:
        async with open_app(read_settings({"home": home}, {})) as app:
            await register(app, sandbox)
            await app.registry.update(operator(), "acme", policy={"confirm_deletes": True})
        yield Ground(home, sandbox.orgs[0])


def say(what: str, told: Any) -> None:
    """A line of the log."""
    text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, default=str)
    print(f"{what:<12} {text if len(text) <= _WIDTH else text[:_WIDTH] + '…'}", flush=True)


async def python_sdk(ground: Ground, generation: str) -> None:
    """The Python SDK's client, of one protocol generation."""

    async def person(_context: Any, params: Any) -> ElicitResult:
        say("  person", f"{params.message} → yes")
        return ElicitResult(action="accept", content={})

    server = StdioServerParameters(command=sys.executable, args=[*SERVE], env=ground.environment)
    async with Client(server, mode=generation, elicitation_callback=person) as client:
        say("connected", f"{client.server_info.name} {client.server_info.version}, MCP {client.protocol_version}")
        tools = {tool.name for tool in (await client.list_tools()).tools}
        say("tools/list", f"{len(tools)} tools")
        assert "salesforce_create_contact" in tools
        made = await _call(client, "salesforce_create_contact", {"org": "acme", "data": {"LastName": "Lovelace"}})
        contact = made["id"]
        refused = await client.call_tool("salesforce_get_contact", {"org": "nowhere", "contact_id": contact})
        say("error", refused.content[0].text)  # type: ignore[union-attr]
        assert refused.is_error
        read = await client.read_resource(f"salesforce://acme/Contact/{contact}")
        say("resource", read.contents[0].text)  # type: ignore[union-attr]
        prompt = await client.get_prompt("find_duplicates", {"org": "acme"})
        say("prompt", prompt.messages[0].content.text)  # type: ignore[union-attr]
        names = await client.complete(PromptReference(name="compare_orgs"), {"name": "org", "value": "g"})
        say("completion", names.completion.values)
        assert names.completion.values == ["globex"]
        await _progress(client, tools)
        await _cancel(client, ground.acme)
        await _call(client, "salesforce_delete_contact", {"org": "acme", "contact_id": contact})


async def _call(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    say("call", f"{name} {json.dumps(arguments)}")
    result = await client.call_tool(name, arguments)
    say("  result", result.structured_content or result.content[0].text)  # type: ignore[union-attr]
    assert not result.is_error, result.content
    return dict(result.structured_content or {})


async def _progress(client: Client, tools: set[str]) -> None:
    busy = next(((name, arguments) for name, arguments in BUSY if name in tools), None)
    if busy is None:
        say("progress", "no tool of this version reports any")
        return
    seen: list[float] = []

    async def told(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)
        say("  progress", f"{done:g} of {total or 0:g}: {message or ''}")

    say("call", f"{busy[0]} {json.dumps(busy[1])}")
    result = await client.call_tool(busy[0], busy[1], progress_callback=told)
    assert not result.is_error, result.content
    assert seen == sorted(seen) and seen


async def _cancel(client: Client, acme: SandboxOrg) -> None:
    acme.fault("delay", path=".*/query.*", seconds=PATIENCE * 5)
    with anyio.move_on_after(PATIENCE):
        await client.call_tool("salesforce_query", {"org": "acme", "soql": "SELECT Id FROM Contact"})
        raise AssertionError("it was not slow")
    say("cancel", "a query was cancelled while Salesforce thought about it")
    acme.faults.clear()
    assert (await client.call_tool("salesforce_list_contacts", {"org": "acme", "limit": 1})).is_error is False


async def typescript_sdk(ground: Ground, packages: Path, path: str) -> None:
    """The TypeScript SDK's client."""
    script = packages / "mcp_session.mjs"  # where Node finds the packages
    script.write_text((Path(__file__).parent / "mcp_session.mjs").read_text("utf-8"), "utf-8")
    ground.acme.fault("delay", path=".*/query.*", seconds=PATIENCE * 5, times=3)
    busy = json.dumps(BUSY)
    code, told = await _run(path, ground.environment, "node", str(script), sys.executable, busy, *SERVE)
    ground.acme.faults.clear()
    print(told.rstrip())
    assert code == 0, "the script failed"


async def inspector(ground: Ground, path: str) -> None:
    """The Inspector's command line."""
    for arguments in (
        ("--method", "tools/list"),
        ("--method", "prompts/list"),
        ("--method", "resources/templates/list"),
        ("--method", "tools/call", "--tool-name", "salesforce_list_contacts", "--tool-arg", "org=acme", "limit=1"),
    ):
        command = ("mcp-inspector", "--cli", sys.executable, *SERVE[:3], *arguments)
        code, told = await _run(path, ground.environment, *command)
        say(f"$ {' '.join(arguments)}\n ", " ".join(told.split()))
        assert code == 0, told


async def _run(path: str, environment: dict[str, str], *command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment | {"PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


async def _npm(packages: Path) -> str:
    modules = packages / "node_modules"
    path = os.pathsep.join([str(modules / "node" / "bin"), str(modules / ".bin"), os.environ["PATH"]])
    packages.mkdir(parents=True, exist_ok=True)
    if not (modules / "zod").exists() or not (modules / ".bin" / "mcp-inspector").exists():
        print(f"$ npm install {' '.join(NPM)}", flush=True)
        process = await asyncio.create_subprocess_exec(
            "npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *NPM,
            cwd=packages, env=os.environ | {"PATH": path}, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await process.wait() != 0:
            raise SystemExit("npm could not install them")
    return path


async def _audit(home: Path) -> None:
    print("\n== what the audit log says")
    async with open_app(read_settings({"home": home}, {})) as app:
        entries = [entry async for entry in app.audit_log.entries(EntryFilter())]
    for entry in entries:
        if entry.client is not None:
            code = f" {entry.error_code}" if entry.error_code else ""
            print(f"{entry.client:<24} {entry.tool:<28} {entry.org or '':<8} {entry.outcome}{code}")


if __name__ == "__main__":
    sys.exit(main())

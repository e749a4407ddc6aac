"""Clients start what ``orgserver connect`` wrote for them: ``python -m tests.clients.configured``.

Claude Code, Gemini and Codex come from npm into a temporary folder, or one that stays (``--packages FOLDER``). Each
is connected in a home where nothing was before, reads its file, starts the server where it can do so without a login,
and is disconnected again. The exit code is 0 if every client went through.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.sandbox.server import Sandbox

from .npm import Packages, install
from .running import Ran, run

NEEDED = ("@anthropic-ai/claude-code", "@google/gemini-cli", "@openai/codex")
OPTIONS = ("--org", "acme", "--exclude-tool", "salesforce_delete_contact")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody's home and folder of work, and a store with two pretend orgs."""

    home: Path
    work: Path
    store: Path
    packages: Packages

    async def orgserver(self, *words: str) -> Ran:
        """Run our command as this person."""
        environment = {"HOME": str(self.home), "ORGSERVER_HOME": str(self.store), "PATH": os.environ["PATH"]}
        return _shown("orgserver", words, await run(sys.executable, "-m", "orgserver", *words, environment=environment))

    async def client(self, name: str, *words: str) -> Ran:
        """Run a client's command as this person, from the folder of work; it knows nothing of us."""
        environment = {"HOME": str(self.home), "PATH": self.packages.path, "NO_COLOR": "1"}
        return _shown(name, words, await run(name, *words, environment=environment, folder=self.work))

    async def connect(self, client: str) -> None:
        """Connect a client, twice."""
        first = await self.orgserver("connect", client, "--yes", *OPTIONS)
        again = await self.orgserver("connect", client, "--yes", *OPTIONS)
        assert (first.code, again.code) == (0, 0), first.stderr + again.stderr
        assert "stays as it is" in again.stderr

    async def disconnect(self, client: str) -> None:
        """Take it out."""
        assert (await self.orgserver("disconnect", client, "--yes")).code == 0


def _shown(name: str, words: tuple[str, ...], ran: Ran) -> Ran:
    print(f"$ {' '.join((name, *words))}")
    for line in (ran.stdout + ran.stderr).splitlines():
        if line.strip():
            print(f"   {line}")
    return ran


async def claude_code(person: Person) -> None:
    """It starts the server, and what stands in its file is what its own command would have written."""
    await person.connect("claude-code")
    listed = await person.client("claude", "mcp", "list")
    assert "orgserver" in listed.stdout and "Connected" in listed.stdout, listed
    got = await person.client("claude", "mcp", "get", "orgserver")
    assert "User config" in got.stdout, got
    entry = json.loads((person.home / ".claude.json").read_text())["mcpServers"]["orgserver"]
    await person.client(
        "claude", "mcp", "add", "-s", "user", "twin", "-e", f"ORGSERVER_HOME={person.store}", "--",
        entry["command"], *entry["args"],
    )  # fmt: skip
    assert json.loads((person.home / ".claude.json").read_text())["mcpServers"]["twin"] == entry
    await create(entry)
    await person.disconnect("claude-code")
    assert "orgserver:" not in (await person.client("claude", "mcp", "list")).stdout


async def gemini(person: Person) -> None:
    """It starts the server in a folder that it trusts, and in no other."""
    await person.connect("gemini")
    untrusted = await person.client("gemini", "mcp", "list")
    assert "Connected" not in untrusted.stdout + untrusted.stderr
    (person.home / ".gemini" / "trustedFolders.json").write_text(json.dumps({str(person.work): "TRUST_FOLDER"}))
    trusted = await person.client("gemini", "mcp", "list")
    assert "Connected" in trusted.stdout + trusted.stderr, trusted
    await person.disconnect("gemini")
    assert "orgserver" not in (await person.client("gemini", "mcp", "list")).stdout


async def codex(person: Person) -> None:
    """It lists the entry as it stands in the file, and the command in it serves."""
    await person.connect("codex")
    entry = tomllib.loads((person.home / ".codex" / "config.toml").read_text())["mcp_servers"]["orgserver"]
    (listed,) = json.loads((await person.client("codex", "mcp", "list", "--json")).stdout)
    assert listed["enabled"] and listed["name"] == "orgserver"
    assert {name: listed["transport"][name] for name in ("command", "args", "env")} == entry
    await create(entry)
    await person.disconnect("codex")
    assert json.loads((await person.client("codex", "mcp", "list", "--json")).stdout) == []


async def create(entry: dict[str, Any]) -> None:
    """Start what an entry says, as a client does, and make a contact."""
    server = StdioServerParameters(command=entry["command"], args=entry["args"], env=entry["env"], cwd="/")
    async with Client(server) as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        made = await client.call_tool("salesforce_create_contact", {"org": "acme", "data": {"LastName": "Lovelace"}})
    print(f"-- a raw client of the same command: {len(tools)} tools; {made.content[0].text}")  # type: ignore[union-attr]
    assert not made.is_error
    assert "salesforce_delete_contact" not in tools


CLIENTS: tuple[Callable[[Person], Awaitable[None]], ...] = (claude_code, gemini, codex)


@asynccontextmanager
async def _store(home: Path) -> AsyncIterator[None]:
    async with Sandbox.start(2) as sandbox:
        async with open_app(read_settings({"home": home}, {})) as app:
            await register(app, sandbox)
        yield


async def _play(folder: Path, where: Path) -> int:
    packages = await install(where, NEEDED)
    failed = 0
    async with _store(folder / "store"):
        for client in CLIENTS:
            print(f"\n== {client.__name__}", flush=True)
            home = folder / client.__name__
            (home / "work").mkdir(parents=True)
            try:
                await client(Person(home, home / "work", folder / "store", packages))
            except (AssertionError, KeyError, ValueError, OSError, TimeoutError) as error:
                failed += 1
                print(f"FAILED: {error!r}")
    print(f"\n{len(CLIENTS) - failed} of {len(CLIENTS)} clients went through")
    return 1 if failed else 0


def main() -> int:
    """Connect every client that npm has."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.configured", description=__doc__)
    parser.add_argument("--packages", type=Path, help="a folder for the npm packages; a temporary one if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orgserver-configured-") as folder:
        return asyncio.run(_play(Path(folder), (options.packages or Path(folder) / "packages").resolve()))


if __name__ == "__main__":
    sys.exit(main())

"""Clients that nobody here wrote work over HTTP with a key: ``python -m tests.clients.over_http``.

The Python and TypeScript SDKs, Vercel's AI SDK, the Inspector's command line, Claude Code and Codex (with a stand-in for
their models) and Gemini; straight, with TLS of the server's own, and through nginx and Caddy, set up by the files of
``packaging/proxies``, which have the TLS. Beside them somebody without a key, somebody with forged headers, and somebody
who goes away in the middle of a call. Before them a person signs in, by our client of OpenID Connect, at npm's
oidc-provider. It needs npm with its registry in reach, and nginx and Caddy on the path; what is missing is told.

``--packages FOLDER`` uses, or fills, a folder that stays; doors (``straight tls nginx caddy``) as arguments choose. The
exit code is 0 if every session went through.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp.shared.exceptions import MCPError

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.cli.process import operator
from orgserver.config import read_settings
from orgserver.model.audit import EntryFilter
from orgserver.oauth.provider.refusals import GrantEnded, ProviderRefused, ProviderUnavailable
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.services.people.requests import KeyChanges
from tests.clients.npm import Packages, install
from tests.people import principal_changes

from .doors import DOORS, is_there
from .identity_provider import sign_in_at_oidc_provider
from .sessions import (
    Visit,
    ai_sdk,
    claude_code,
    codex,
    forger,
    gemini,
    gone,
    inspector,
    python_sdk,
    strangers,
    typescript_sdk,
)

NEEDED = (
    "@modelcontextprotocol/sdk", "@modelcontextprotocol/inspector", "@ai-sdk/mcp", "zod",
    "@anthropic-ai/claude-code", "@openai/codex", "@google/gemini-cli",
    "oidc-provider",
)  # fmt: skip
SESSIONS: tuple[Callable[[Visit], Awaitable[None]], ...] = (
    strangers, forger, python_sdk, gone, typescript_sdk, ai_sdk, inspector, claude_code, codex, gemini,
)  # fmt: skip
_LONGEST = 180


@dataclass(frozen=True, slots=True)
class Ground:
    """A home with two pretend orgs, and the key of a principal to whom one is granted."""

    home: Path
    key: str
    acme: SandboxOrg

    async def count_cancellations(self) -> int:
        """How many calls ended as cancelled, by the audit log."""
        async with _open(self.home) as app:
            return sum([entry.error_code == "CANCELLED" async for entry in app.audit_log.entries(EntryFilter())])


def main() -> int:
    """Send every client through every door."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.over_http", description=__doc__)
    parser.add_argument("doors", nargs="*", choices=[*DOORS, []], metavar="DOOR", help=f"of {', '.join(DOORS)}")
    parser.add_argument("--packages", type=Path, help="a folder for the npm packages; a temporary one if not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orgserver-over-http-") as folder:
        packages = (options.packages or Path(folder) / "packages").resolve()
        return asyncio.run(_play(Path(folder), packages, options.doors or list(DOORS)))


async def _play(folder: Path, where: Path, doors: list[str]) -> int:
    packages = await install(where, NEEDED)
    is_signed_in = await _sign_in(packages)
    outcomes: dict[str, list[bool]] = {}
    async with _ground(folder / "home") as ground:
        for name in doors:
            if is_there(name):
                outcomes[name] = await _visit(name, ground, packages, folder / name)
            else:
                outcomes[name] = [False]
                print(f"\n==== {name} is not on the path: nothing was tried through it")
        await _show_audit(ground.home)
    for name, went_well in outcomes.items():
        print(f"{name:<10} {sum(went_well)} of {len(SESSIONS)} sessions went through")
    print(f"sign-in    {'went' if is_signed_in else 'did not go'} through")
    return 0 if is_signed_in and all(all(went_well) for went_well in outcomes.values()) else 1


async def _sign_in(packages: Packages) -> bool:
    """Be the client of an identity provider that nobody here wrote."""
    print("\n==== oidc-provider", flush=True)
    try:
        async with asyncio.timeout(_LONGEST):
            await sign_in_at_oidc_provider(packages)
    except (AssertionError, KeyError, OSError, TimeoutError, ProviderUnavailable, ProviderRefused, GrantEnded) as error:
        print(f"FAILED: {error!r}")
        return False
    return True


async def _visit(name: str, ground: Ground, packages: Packages, folder: Path) -> list[bool]:
    folder.mkdir()
    went_well = []
    async with DOORS[name](ground.home, folder) as door:
        print(f"\n==== {name}: {door.url}/mcp", flush=True)
        for session in SESSIONS:
            print(f"\n== {session.__name__}, {name}", flush=True)
            home = folder / session.__name__
            home.mkdir()
            try:
                async with asyncio.timeout(_LONGEST):
                    await session(Visit(door, ground.key, ground.acme, packages, home, ground.count_cancellations))
            except (AssertionError, KeyError, ValueError, OSError, TimeoutError, MCPError, ExceptionGroup) as error:
                print(f"FAILED: {error!r}")
                went_well.append(False)
            else:
                went_well.append(True)
    return went_well


@asynccontextmanager
async def _open(home: Path) -> AsyncIterator[App]:
    async with open_app(read_settings({"home": home}, {})) as app:
        yield app


@asynccontextmanager
async def _ground(home: Path) -> AsyncIterator[Ground]:
    async with Sandbox.start(2) as sandbox:
        async with _open(home) as app:
            await register(app, sandbox)
            changes = principal_changes("acme:read,write", keys=KeyChanges(new=True))
            changed = await app.people.principals.add(operator(), "ada", changes)
            assert changed.key is not None
        yield Ground(home, changed.key.text.reveal(), sandbox.orgs[0])


async def _show_audit(home: Path) -> None:
    print("\n== what the audit log says, a line for each kind of call")
    async with _open(home) as app:
        entries = [entry async for entry in app.audit_log.entries(EntryFilter())]
    kinds: dict[tuple[str | None, ...], int] = {}
    for entry in entries:
        if entry.transport == "http":
            kind = (entry.client, entry.tool, entry.org, entry.outcome, entry.error_code)
            kinds[kind] = kinds.get(kind, 0) + 1
    for kind, number in sorted(kinds.items(), key=str):
        print(f"{number:>3} × " + " ".join(f"{each or '–':<26}" for each in kind).rstrip())
    print()


if __name__ == "__main__":
    sys.exit(main())

"""Commands as people run them: real processes, a home of the test's own, and no secret in anything they leave."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orgserver.sandbox.org import SandboxOrg

SECONDS = 30
TOOL = "salesforce_create_contact"
Command = Callable[..., Any]
"""Runs a command in this process: the command, its words, the environment by keyword; awaited, click's result."""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


@dataclass
class Shell:
    """Runs ``orgserver`` with one home; everything it prints is kept for the search for secrets."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORGSERVER_")}
        return kept | {"ORGSERVER_HOME": str(self.home)} | self.env | more

    async def start(self, *args: str, **more: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "orgserver",
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(**more),
            preexec_fn=_interruptible,
        )

    async def __call__(self, *args: str, stdin: str = "", **more: str) -> Ran:
        return await self.end(await self.start(*args, **more), stdin)

    async def end(self, process: asyncio.subprocess.Process, stdin: str = "") -> Ran:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(stdin.encode())
        ran = Ran(process.returncode or 0, out.decode(), err.decode())
        self.printed += [ran.out, ran.err]
        return ran

    async def add(self, org: SandboxOrg, *options: str, alias: str = "") -> Ran:
        return await self("add-org", alias or org.alias, "--credentials-stdin", *options, stdin=credential(org))


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background has it ignored


def credential(org: SandboxOrg, **changes: Any) -> str:
    return json.dumps(org.credentials() | changes)

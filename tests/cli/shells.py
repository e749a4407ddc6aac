"""Commands as people run them: real processes, a home of the test's own, and no secret in anything they leave."""

import asyncio
import fcntl
import json
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orgserver.sandbox.org import SandboxOrg
from tests.cli.forked import Template

SECONDS = 30
NEVER_COPIED = {"serve"}
"""Its input is a pipe that is waited for, and how it imports is its own affair."""
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
    started: set[str] = field(default_factory=set)
    """Commands that were run from the beginning of a Python of their own; later ones may be copies."""
    template: Template | None = None

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
        environment = self.environment(**more)
        if args[0] in self.started - NEVER_COPIED and self.template and self.template.fits(environment):
            code, out, err = await self.template.run(args, environment, stdin.encode())
            return self._keep(Ran(code, out.decode(), err.decode()))
        self.started.add(args[0])
        return await self.end(await self.start(*args, **more), stdin)

    async def end(self, process: asyncio.subprocess.Process, stdin: str = "") -> Ran:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(stdin.encode())
        return self._keep(Ran(process.returncode or 0, out.decode(), err.decode()))

    def _keep(self, ran: Ran) -> Ran:
        self.printed += [ran.out, ran.err]
        return ran

    def let_run_unattended(self) -> None:
        """As an operator does for automation."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.home / "config.toml").write_text('unattended = "allow"\n')

    @asynccontextmanager
    async def at_terminal(self, *args: str, stdout: int | None = None, **more: str) -> AsyncIterator["AtTerminal"]:
        """Run a command that a terminal of its own controls, as a person's does; its output may go elsewhere."""
        ours, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orgserver", *args,
            stdin=theirs, stdout=stdout or theirs, stderr=theirs, env=self.environment(**more), start_new_session=True,
            preexec_fn=_controlled,
        )  # fmt: skip
        os.close(theirs)
        terminal = AtTerminal(process, ours)
        try:
            yield terminal
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self.printed.append(terminal.shown)
            os.close(ours)

    async def add(self, org: SandboxOrg, *options: str, alias: str = "") -> Ran:
        return await self("add-org", alias or org.alias, "--credentials-stdin", *options, stdin=credential(org))


@dataclass
class AtTerminal:
    """A command at a terminal: what it shows, and what a person types."""

    process: asyncio.subprocess.Process
    descriptor: int
    shown: str = ""
    seen: int = 0

    async def until(self, words: str) -> str:
        """Wait for words that were not waited for before; what was shown up to them."""
        async with asyncio.timeout(SECONDS):
            while words not in self.shown[self.seen :]:
                text = await self._read()
                assert text, f"it ended without {words!r}: {self.shown}"
        start, self.seen = self.seen, self.shown.index(words, self.seen) + len(words)
        return self.shown[start : self.seen]

    def type(self, line: str) -> None:
        self.write(f"{line}\n")

    def write(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    async def answer(self, question: str, line: str) -> str:
        shown = await self.until(question)
        self.type(line)
        return shown

    async def end(self) -> int:
        """Wait for its end; the exit code."""
        async with asyncio.timeout(SECONDS):
            while await self._read():
                pass
            return await self.process.wait()

    async def _read(self) -> str:
        try:
            text = (await asyncio.to_thread(os.read, self.descriptor, 4096)).decode(errors="replace")
        except OSError:  # the last program at the terminal has ended
            text = ""
        self.shown = (self.shown + text).replace("\r\n", "\n")
        return text


ShellAt = Callable[..., Shell]
"""The shell of a home; its environment by keyword."""


def _controlled() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background has it ignored


def credential(org: SandboxOrg, **changes: Any) -> str:
    return json.dumps(org.credentials() | changes)

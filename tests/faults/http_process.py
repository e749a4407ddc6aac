"""A real server process over HTTP."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from .forking import STDERR, ForkedProcess, fork_program

ACCEPTED = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
"""What an old client says with each request."""
ANY_PORT = "127.0.0.1:0"
PROGRAM = ("-m", "orgserver")
START_SECONDS = 90
END_SECONDS = 30


class HttpProcess:
    """A server process that listens."""

    def __init__(self, process: asyncio.subprocess.Process | ForkedProcess) -> None:
        self.process = process
        self.lines: list[str] = []
        self.url = ""

    async def read_start(self) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(START_SECONDS):
            while not (match := re.search(r"(http://\S+)/mcp", self.lines[-1] if self.lines else "")):
                line = (await self.process.stderr.readline()).decode()
                assert line, "".join(self.lines)
                self.lines.append(line)
        self.url = match[1]

    def find_figures(self) -> str:
        """Where figures are, of a server that was told to have a port for them."""
        match = re.search(r"figures at (http://[0-9.:]+/metrics)", self.log)
        assert match is not None, self.log
        return match[1]

    async def read_end(self) -> int:
        assert self.process.stderr is not None
        async with asyncio.timeout(END_SECONDS):
            self.lines.append((await self.process.stderr.read()).decode())
            return await self.process.wait()

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def client(self, key: str) -> httpx2.AsyncClient:
        headers = ACCEPTED | {"authorization": f"Bearer {key}"}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30)


@asynccontextmanager
async def serving_http(
    home: Path, *options: str, command: Sequence[str] = PROGRAM, address: str = ANY_PORT, **settings: str
) -> AsyncIterator[HttpProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, "serve", "--http", address, *options,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env=_environment(home, settings),
    )  # fmt: skip
    async with _listening(HttpProcess(process)) as served:
        yield served


@asynccontextmanager
async def serving_http_forked(
    home: Path, *options: str, address: str = ANY_PORT, **settings: str
) -> AsyncIterator[HttpProcess]:
    """The same, of a process that imports nothing (``program``)."""
    arguments = ["serve", "--http", address, *options]
    async with _listening(HttpProcess(await fork_program(arguments, _environment(home, settings), STDERR))) as served:
        yield served


def _environment(home: Path, settings: dict[str, str]) -> dict[str, str]:
    return os.environ | {"ORGSERVER_HOME": str(home)} | settings


@asynccontextmanager
async def _listening(served: HttpProcess) -> AsyncIterator[HttpProcess]:
    try:
        await served.read_start()
        yield served
    finally:
        if served.process.returncode is None:
            served.process.kill()
        await served.process.wait()

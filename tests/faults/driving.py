"""Real server processes, driven line by line, and what is found in the store afterwards."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from . import program
from .forking import STDIN, STDOUT, ForkedProcess, fork_program

INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "faults", "version": "1"}}
SERVE = ("-m", "orgserver", "serve")
CALL_SECONDS = 90
_LONGEST_LINE = 1 << 28


class Served:
    """One server process."""

    def __init__(self, process: asyncio.subprocess.Process | ForkedProcess) -> None:
        self.process = process
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._serial = 0
        self.largest = 0
        """The longest line that came, in bytes."""
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.largest = max(self.largest, len(line))
            message = json.loads(line)
            future = self._waiting.pop(message.get("id"), None)
            if future is not None and not future.done():
                future.set_result(message)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the server is gone"))

    def send(self, method: str, params: dict[str, Any] | None = None) -> asyncio.Future[dict[str, Any]]:
        """Send a request; its reply comes with the future."""
        assert self.process.stdin is not None
        self._serial += 1
        future = self._waiting[self._serial] = asyncio.get_running_loop().create_future()
        message = {"jsonrpc": "2.0", "id": self._serial, "method": method, "params": params or {}}
        with suppress(ConnectionError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
        return future

    async def list_contacts(self, org: str) -> dict[str, Any]:
        """One call; the error object, or the result."""
        return await self.call("salesforce_list_contacts", {"org": org, "limit": 1})

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool; the error object, or the result."""
        reply = await asyncio.wait_for(self.send("tools/call", {"name": tool, "arguments": arguments}), CALL_SECONDS)
        result = reply["result"]
        return json.loads(result["content"][0]["text"]) if result.get("isError") else result["structuredContent"]

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)  # Process.kill may take the exit code that asyncio waits for
        await self.gone()

    async def end(self) -> int | None:
        """Tell it that no more input comes; its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.gone()
        return self.process.returncode

    async def gone(self) -> None:
        """Wait until it is gone."""
        await asyncio.wait_for(self.process.wait(), CALL_SECONDS)
        await asyncio.gather(self._reader, return_exceptions=True)


@asynccontextmanager
async def serving(home: Path, command: Sequence[str] = SERVE, **settings: str) -> AsyncIterator[Served]:
    """A server that answers; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(home, settings),
        limit=_LONGEST_LINE,
    )
    async with _answering(Served(process)) as served:
        yield served


@asynccontextmanager
async def serving_forked(
    home: Path, arguments: Sequence[str] = ("serve",), run: Callable[..., None] = program.run, **settings: str
) -> AsyncIterator[Served]:
    """The same, of a process that imports nothing: for those that are killed so often that the imports are the most."""
    environment = _environment(home, settings)
    process = await fork_program(arguments, environment, STDIN, STDOUT, limit=_LONGEST_LINE, run=run)
    async with _answering(Served(process)) as served:
        yield served


def _environment(home: Path, settings: dict[str, str]) -> dict[str, str]:
    return os.environ | {"ORGSERVER_HOME": str(home)} | settings


@asynccontextmanager
async def _answering(served: Served) -> AsyncIterator[Served]:
    try:
        await served.send("initialize", INITIALIZE)
        assert served.process.stdin is not None
        served.process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        yield served
    finally:
        await served.kill()


def failed(result: dict[str, Any]) -> dict[str, Any] | None:
    """The error object of a result, if it is one."""
    return result.get("error")

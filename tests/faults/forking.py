"""A server process that is forked from one which has imported the program, with pipes to its input and output."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from . import program

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([program.__name__])


class ForkedProcess:
    """What ``asyncio.subprocess.Process`` is for a program that is started."""

    def __init__(self, process: ForkServerProcess, stdin: asyncio.WriteTransport, stdout: asyncio.StreamReader) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self.stdin, self.stdout = stdin, stdout
        self.returncode: int | None = None
        self._process, self._ended = process, asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self.returncode = self._process.exitcode
        self._process.close()
        self.stdin.close()
        self._ended.set()

    def send_signal(self, number: int) -> None:
        """Send a signal to it, while it runs."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int | None:
        """Wait until it is gone; its exit code."""
        await self._ended.wait()
        return self.returncode


async def fork_server(environment: dict[str, str], limit: int) -> ForkedProcess:
    """Fork one with this environment, whose lines are no longer than this limit."""
    lines_in, stdin = _CONTEXT.Pipe(duplex=False)
    stdout, lines_out = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=program.serve, args=(lines_in, lines_out, environment), daemon=True)
    process.start()
    lines_in.close()
    lines_out.close()
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=limit)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(_take(stdout), "rb", 0))
    writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(_take(stdin), "wb", 0))
    return ForkedProcess(process, writer, reader)


def _take(end: Connection) -> int:
    """The descriptor of an end of a pipe, as the caller's own."""
    descriptor = os.dup(end.fileno())
    end.close()
    return descriptor

"""A server process that is forked from one which has imported the program, with pipes as ``asyncio.subprocess`` has."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from . import program

STDIN, STDOUT, STDERR = program.STANDARD
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([program.__name__])
"""Where such processes come from."""


class ForkedProcess:
    """What ``asyncio.subprocess.Process`` is for a program that is started."""

    stdin: asyncio.WriteTransport | None = None
    stdout: asyncio.StreamReader | None = None
    stderr: asyncio.StreamReader | None = None
    returncode: int | None = None

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process, self._ended = process, asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self.returncode = self._process.exitcode
        self._process.close()
        if self.stdin is not None:
            self.stdin.close()
        self._ended.set()

    def send_signal(self, number: int) -> None:
        """Send a signal to it, while it runs."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Wait until it is gone; its exit code."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode


async def fork_program(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *pipes: int,
    limit: int = 1 << 16,
    run: Callable[..., None] = program.run,
) -> ForkedProcess:
    """Fork one with these pipes, whose lines are no longer than this limit; ``run`` is what it does."""
    ends = {number: CONTEXT.Pipe(duplex=False) for number in pipes}  # each to read from, and to write to
    theirs = {number: end[number != STDIN] for number, end in ends.items()}
    process = CONTEXT.Process(target=run, args=(arguments, theirs, dict(environment)), daemon=True)
    process.start()
    for end in theirs.values():
        end.close()
    forked = ForkedProcess(process)
    if STDIN in ends:
        forked.stdin = await _write_to(ends[STDIN][1])
    if STDOUT in ends:
        forked.stdout = await _read_from(ends[STDOUT][0], limit)
    if STDERR in ends:
        forked.stderr = await _read_from(ends[STDERR][0], limit)
    return forked


async def _write_to(end: Connection) -> asyncio.WriteTransport:
    file = os.fdopen(_take(end), "wb", 0)
    transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, file)
    return transport


async def _read_from(end: Connection, limit: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=limit)
    file = os.fdopen(_take(end), "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    return reader


def _take(end: Connection) -> int:
    """The descriptor of an end of a pipe, as the caller's own."""
    descriptor = os.dup(end.fileno())
    end.close()
    return descriptor

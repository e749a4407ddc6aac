"""MCP over standard input and output, on the event loop itself.

The SDK's own ``stdio_server`` hops to a worker thread for each read, write and flush; it also takes streams that are
given to it, and these are pipes of the event loop (docs/performance.md). As the SDK does, descriptors 0 and 1 are
moved away first, so that nothing but the protocol can reach the client.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

_LINE_LIMIT = 64 * 1024 * 1024
_ABOVE_STANDARD = 3


async def serve_stdio(server: Server[Any]) -> None:
    """Serve one client until it closes its end."""
    async with AsyncExitStack() as stack:
        streams: tuple[Any, Any] = (None, None)
        if _pollable(0) and _pollable(1):
            streams = await stack.enter_async_context(_pipes())
        read, write = await stack.enter_async_context(stdio_server(*streams))
        await server.run(read, write, server.create_initialization_options())


class _Lines:
    """Standard input as lines of text."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        line = await self._reader.readline()
        if not line:
            raise StopAsyncIteration
        return line.decode("utf-8", "replace")


class _Output:
    """Standard output; a full pipe makes the writer wait."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, text: str) -> None:
        self._writer.write(text.encode("utf-8", "replace"))

    async def flush(self) -> None:
        await self._writer.drain()


@asynccontextmanager
async def _pipes() -> AsyncIterator[tuple[_Lines, _Output]]:
    """Take over descriptors 0 and 1, and put them back at the end."""
    loop = asyncio.get_running_loop()
    import fcntl  # noqa: PLC0415  # not on Windows, where nothing is pollable

    sys.stdout.flush()
    wire_in = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    wire_out = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    incoming, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(wire_in), "rb", buffering=0)
    )
    outgoing, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(os.dup(wire_out), "wb", buffering=0)
    )
    writer = asyncio.StreamWriter(outgoing, protocol, None, loop)
    try:
        yield _Lines(reader), _Output(writer)
    finally:
        incoming.close()
        outgoing.close()
        for wire, descriptor in ((wire_in, 0), (wire_out, 1)):
            os.set_blocking(wire, True)
            os.dup2(wire, descriptor)
            os.close(wire)


def _pollable(descriptor: int) -> bool:
    """Tell whether the event loop can wait for it: pipes, sockets and terminals, not regular files."""
    if sys.platform == "win32":
        return False
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)

"""Standard input and output, taken over for the protocol alone and waited for by the event loop.

As the SDK does, descriptors 0 and 1 are moved away first: whatever else reads or prints in this process, or in a
child of it, reads nothing and prints to standard error.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, cast

from orgserver.model.errors import ConfigError
from orgserver.serving.fragments import MAX_LINE, LineTooLong

if TYPE_CHECKING:
    from orgserver.serving.wire import Lines, Sink

_ABOVE_STANDARD = 3
_FLUSH_SECONDS = 2.0
_HIGH_WATER = 1024 * 1024


@asynccontextmanager
async def taken_over() -> AsyncIterator[tuple[Lines, Sink]]:
    """Take over descriptors 0 and 1, and put them back at the end. Not on Windows."""
    _check_open()
    async with AsyncExitStack() as stack:
        wire_in = stack.enter_context(_moved(0, _nowhere))
        wire_out = stack.enter_context(_moved(1, _standard_error))
        if _one_socket(wire_in, wire_out):
            both = await stack.enter_async_context(_duplex(wire_in))
            yield both, both
            return
        yield await stack.enter_async_context(_reading(wire_in)), await stack.enter_async_context(_writing(wire_out))


class _PolledLines:
    """Lines of a pipe, a socket or a terminal."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self._reader = reader
        self._transport = transport
        self._ended = False

    def end(self) -> None:
        """From now on it is the end."""
        if not self._ended:
            self._ended = True
            with suppress(RuntimeError):  # it was paused already
                self._transport.pause_reading()
            self._reader.feed_eof()

    async def line(self) -> bytes:
        """The next line, empty at the end."""
        if self._ended:
            return b""
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as rest:
            return rest.partial
        except asyncio.LimitOverrunError as overrun:
            raise await self._skip(overrun.consumed) from None

    async def _skip(self, consumed: int) -> LineTooLong:
        """Read to the end of the line, and keep of it what may say whose it was."""
        line = LineTooLong()
        while True:
            line.add(await self._reader.readexactly(consumed))
            try:
                line.add(await self._reader.readuntil(b"\n"))
            except asyncio.IncompleteReadError as rest:
                line.add(rest.partial)
            except asyncio.LimitOverrunError as overrun:
                consumed = overrun.consumed
                continue
            return line


class _FileLines:
    """Lines of a regular file, which no event loop can wait for."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(os.dup(descriptor), "rb")
        self._ended = False

    def end(self) -> None:
        """From now on it is the end."""
        self._ended = True

    async def line(self) -> bytes:
        """The next line, empty at the end."""
        if self._ended:
            return b""
        piece = await asyncio.to_thread(self._file.readline, MAX_LINE)
        if len(piece) < MAX_LINE or piece.endswith(b"\n"):
            return piece
        line = LineTooLong()
        line.add(piece)
        while piece and not piece.endswith(b"\n"):
            piece = await asyncio.to_thread(self._file.readline, MAX_LINE)
            line.add(piece)
        raise line

    def close(self) -> None:
        """Close our copy of the file."""
        self._file.close()


class _PolledSink(asyncio.Protocol):
    """The writing end of a pipe, a socket or a terminal. What comes in one turn of the event loop goes at once."""

    def __init__(self) -> None:
        self._unwritten: list[bytes] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def pause_writing(self) -> None:
        """The other side is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    def connection_lost(self, _error: Exception | None) -> None:
        """It is gone: nobody waits any longer."""
        self.lost.set()
        self._writable.set()

    async def write(self, data: bytes) -> None:
        """Write, and wait while the other side is slow."""
        if self.lost.is_set() or self._transport.is_closing():
            raise BrokenPipeError
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self.flush)
        self._unwritten.append(data)
        if not self._writable.is_set():
            await self._writable.wait()

    def flush(self) -> None:
        """Write what has come together."""
        lines, self._unwritten = self._unwritten, []
        if lines and not self._transport.is_closing():
            self._transport.writelines(lines)


class _FileSink:
    """A regular file, or a device that takes everything at once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def write(self, data: bytes) -> None:
        """Write all of it."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class _Duplex(_PolledLines):
    """One socket for both directions, as socat and inetd give it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer.transport)  # type: ignore[arg-type]  # typeshed: a socket's reads too
        self._writer = writer

    async def write(self, data: bytes) -> None:
        """Write, and wait while the other side is slow."""
        self._writer.write(data)
        await self._writer.drain()


@asynccontextmanager
async def _reading(wire: int) -> AsyncIterator[Lines]:
    own = _own_copy(wire, os.O_RDONLY)
    if own is None:
        lines = _FileLines(wire)
        try:
            yield lines
        finally:
            lines.close()
        return
    reader = asyncio.StreamReader(limit=MAX_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(own, "rb", buffering=0)
    )
    try:
        yield _PolledLines(reader, transport)
    finally:
        transport.close()
        os.set_blocking(wire, True)


@asynccontextmanager
async def _writing(wire: int) -> AsyncIterator[Sink]:
    own = _own_copy(wire, os.O_WRONLY)
    if own is None:
        yield _FileSink(wire)
        return
    pipe = os.fdopen(own, "wb", buffering=0)
    transport, sink = await asyncio.get_running_loop().connect_write_pipe(_PolledSink, pipe)
    transport.set_write_buffer_limits(high=_HIGH_WATER)
    try:
        yield sink
    finally:
        sink.flush()
        transport.close()  # after what is still to be written
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await sink.lost.wait()
        except TimeoutError:
            transport.abort()
        os.set_blocking(wire, True)


@asynccontextmanager
async def _duplex(wire: int) -> AsyncIterator[_Duplex]:
    import socket  # noqa: PLC0415  # rarely needed

    connection = socket.socket(fileno=os.dup(wire))
    connection.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=connection, limit=MAX_LINE)
    try:
        yield _Duplex(reader, writer)
    finally:
        writer.close()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await writer.wait_closed()
        os.set_blocking(wire, True)


def _one_socket(first: int, second: int) -> bool:
    kind = os.fstat(first)
    return stat.S_ISSOCK(kind.st_mode) and os.path.samestat(kind, os.fstat(second))


def _own_copy(wire: int, mode: int) -> int | None:
    """A copy that may be made non-blocking; None where the event loop cannot wait.

    Being non-blocking belongs to what was opened, not to the descriptor: a terminal is opened again, or the shell that
    started us, and our own standard error, would become non-blocking with it.
    """
    kind = os.fstat(wire).st_mode
    if os.isatty(wire):
        try:
            return os.open(os.ttyname(wire), mode | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return os.dup(wire)
    return os.dup(wire) if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) else None


@contextmanager
def _moved(descriptor: int, diversion: object) -> Iterator[int]:
    """Move a descriptor out of the way; what it was is given, and put back at the end."""
    import fcntl  # noqa: PLC0415  # not on Windows

    if descriptor == 1 and sys.stdout is not None:
        sys.stdout.flush()
    wire = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STANDARD)
    try:
        other = diversion()  # type: ignore[operator]
        os.dup2(other, descriptor)
        os.close(other)
        yield wire
    finally:
        if descriptor == 1 and sys.stdout is not None:
            sys.stdout.flush()  # what was printed meanwhile belongs to standard error
        os.dup2(wire, descriptor)
        os.close(wire)


def _nowhere() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def _standard_error() -> int:
    try:
        return os.dup(2)
    except OSError:  # closed by whoever started us
        return os.open(os.devnull, os.O_WRONLY)


def _check_open() -> None:
    # The interpreter leaves these None when it starts without the descriptor, whose number the event loop then has.
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output")):
        if stream is None:
            raise ConfigError(
                f"standard {name} is closed", hint="an MCP client starts orgserver serve with both connected"
            )

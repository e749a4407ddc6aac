"""Stand-ins for what lies before a PostgreSQL server: a pooler, and a door of TLS."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_KEPT = {b"user", b"database", b"client_encoding"}
_TRACKED = {b"application_name", b"datestyle", b"timezone", b"standard_conforming_strings", b"intervalstyle"}
_KEY_DATA = b"K\x00\x00\x00\x0c"
Rewrite = Callable[[bytes], bytes]


def drop_parameters(startup: bytes) -> bytes:
    """As PgBouncer with ``ignore_startup_parameters``: what it does not know is not passed on."""
    kept = [(name, value) for name, value in _parameters(startup) if name in _KEPT]
    body = startup[4:8] + b"".join(name + b"\0" + value + b"\0" for name, value in kept) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def _parameters(startup: bytes) -> list[tuple[bytes, bytes]]:
    words = startup[8:].rstrip(b"\0").split(b"\0")
    return list(zip(words[::2], words[1::2], strict=True))


def invent_key(answer: bytes) -> bytes:
    """As every pooler: the process number that a client gets for cancelling is the pooler's own."""
    place = answer.find(_KEY_DATA)
    if place < 0:
        return answer
    start = place + len(_KEY_DATA)
    return answer[:start] + struct.pack("!I", 77_777_777) + answer[start + 4 :]


@asynccontextmanager
async def before(
    port: int, *, startup: Rewrite = bytes, answers: Rewrite = bytes, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Stand before a server at a port of loopback: the port to use in its place."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if tls is not None:
            await reader.readexactly(8)  # asks for TLS
            writer.write(b"S")
            with suppress(OSError):
                await writer.start_tls(tls)
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readexactly(4)
            first = head + await reader.readexactly(struct.unpack("!I", head)[0] - 4)
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
            behind_writer.write(startup(first))
            ways = [_pass(reader, behind_writer, bytes), _pass(behind_reader, writer, answers)]
            await asyncio.gather(*ways)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def refusing_parameters() -> AsyncIterator[int]:
    """As PgBouncer without ``ignore_startup_parameters``: a port that refuses the first setting that it does not track."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(4)
        startup = head + await reader.readexactly(struct.unpack("!I", head)[0] - 4)
        strange = [name for name, _ in _parameters(startup) if name.lower() not in _KEPT | _TRACKED]
        if strange:
            fields = b"SFATAL\0C08P01\0Munsupported startup parameter: " + strange[0] + b"\0\0"
            writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rewrite: Rewrite) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(rewrite(data))
            await writer.drain()
    writer.close()

"""An org's host made of a bare socket: it reads a whole request, notes it, and then does one thing."""

import asyncio
import contextlib
import gzip
import io
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]
"""What is done with one request; true if the connection may carry another."""

JSON = "application/json;charset=UTF-8"
REASONS = {200: "OK", 201: "Created", 204: "No Content", 302: "Found", 401: "Unauthorized", 503: "Service Unavailable"}
MEBIBYTE = 1 << 20
LARGE = 256 * MEBIBYTE


def head(status: int, kind: str, length: int | None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}"]
    if length is not None:
        lines += [f"Content-Type: {kind}", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def raw(content: bytes, *, keep: bool = True) -> Act:
    """Write these bytes."""

    async def act(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(content)
        await writer.drain()
        return keep

    return act


def answer(body: object = None, status: int = 200, **headers: str) -> Act:
    """Answer JSON, or nothing but a status; the connection stays open."""
    if body is None:
        return raw(head(status, JSON, None if status == 204 else 0, **headers))
    content = json.dumps(body).encode()
    return raw(head(status, JSON, len(content), **headers) + content)


def refuse(status: int, code: str, message: str = "No.", **headers: str) -> Act:
    """Refuse in Salesforce's form."""
    return answer([{"errorCode": code, "message": message}], status, **headers)


def html(status: int = 503) -> Act:
    """What a load balancer says in Salesforce's place."""
    page = b"<html><body><h1>Down for maintenance</h1></body></html>"
    return raw(head(status, "text/html", len(page)) + page)


def redirect(location: str, status: int = 302) -> Act:
    """Send the client to another address."""
    return raw(head(status, "text/html", 0, Location=location))


def bad_json(status: int = 201) -> Act:
    """A success that cannot be read."""
    content = b'{"id": "003Sb00000000'
    return raw(head(status, JSON, len(content)) + content)


def deep(levels: int) -> Act:
    """JSON nested so deep."""
    content = b"[" * levels + b"]" * levels
    return raw(head(200, JSON, len(content)) + content)


async def close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> bool:
    """Close without a word."""
    return False


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Close with a TCP reset in place of an end."""
    lingering = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
    writer.transport.abort()
    return False


async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Close in the middle of the body."""
    content = json.dumps({"id": "003Sb0000000002AAA", "success": True, "errors": []}).encode()
    writer.write(head(200, JSON, len(content)) + content[: len(content) // 2])
    await writer.drain()
    return False


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> bool:
    """Say nothing until the other side gives up."""
    await reader.read()
    return False


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one byte at a time, always in time for a limit on each byte alone."""
    content = json.dumps({"records": ["x"] * 10_000}).encode()
    for byte in head(200, JSON, len(content)) + content:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.005)
    return True


async def huge(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, size: int = LARGE) -> bool:
    """A body without an end in sight."""
    writer.write(head(200, JSON, size))
    chunk = b" " * (MEBIBYTE // 4)
    for _ in range(size // len(chunk)):
        writer.write(chunk)
        await writer.drain()
    return True


@cache
def packed(size: int) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6) as file:
        for _ in range(size // MEBIBYTE):
            file.write(b" " * MEBIBYTE)
    return packed.getvalue()


async def bomb(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, size: int = LARGE) -> bool:
    """A few bytes that unpack to very many."""
    content = packed(size)
    writer.write(head(200, JSON, len(content), Content_Encoding="gzip") + content)
    await writer.drain()
    return True


class Upstream:
    """What it does with the requests to come, and what came."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[tuple[str, str]] = []
        self.carriers: list[int] = []
        """The number of the connection that each request came on."""
        self.connections = 0
        self.usual: Act = answer({})
        self._script: list[Act] = []
        self._came = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def then(self, *acts: Act) -> None:
        """Do these with the next requests, one each; afterwards the usual."""
        self._script += acts

    async def came(self, count: int = 1) -> None:
        """Wait until so many requests were read."""
        async with asyncio.timeout(10):
            while len(self.requests) < count:
                self._came.clear()
                await self._came.wait()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer, self.connections))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                going = True
                while going:
                    self._note(await self._whole(reader), number)
                    act = self._script.pop(0) if self._script else self.usual
                    going = await act(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    def _note(self, request: tuple[str, str], number: int) -> None:
        self.requests.append(request)
        self.carriers.append(number)
        self._came.set()

    @staticmethod
    async def _whole(reader: asyncio.StreamReader) -> tuple[str, str]:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        assert "transfer-encoding" not in headers
        await reader.readexactly(int(headers.get("content-length", "0")))
        return method, target.partition("?")[0]

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator["Upstream"]:
        upstream = cls()
        server = await asyncio.start_server(upstream._connected, "127.0.0.1", 0)
        upstream.port = server.sockets[0].getsockname()[1]
        try:
            yield upstream
        finally:
            server.close()
            for task in (under_way := list(upstream._under_way)):
                task.cancel()
            ends = await asyncio.gather(*under_way, return_exceptions=True)
            await server.wait_closed()
        # What went wrong in here would otherwise look like an org's host that closes.
        assert [end for end in ends if end is not None and not isinstance(end, asyncio.CancelledError)] == []

"""An org's host made of a bare socket: it reads a whole request, notes it, and then does one thing.

It answers as Salesforce does, packed with gzip for whoever asks and in chunks; or plainly, when it is told to.
"""

import asyncio
import contextlib
import gzip
import io
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache

JSON = "application/json;charset=UTF-8"
REASONS = {200: "OK", 201: "Created", 204: "No Content", 302: "Found", 401: "Unauthorized", 503: "Service Unavailable"}
MEBIBYTE = 1 << 20
LARGE = 256 * MEBIBYTE


def head(status: int, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Whatever')}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunked(content: bytes, size: int = 1_000) -> bytes:
    """In chunks of this size, with the last one that is empty."""
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


@dataclass(frozen=True)
class Form:
    """How the host answers one request."""

    plain: bool
    asks_for_gzip: bool

    def reply(self, content: bytes, status: int = 200, kind: str = JSON, **headers: str) -> bytes:
        """A whole reply."""
        if not content:
            return head(status, **({} if status in (204, 304) else {"Content_Length": "0"}), **headers)
        before, body = self.parts(content, status, kind, **headers)
        return before + body

    def parts(self, content: bytes, status: int = 200, kind: str = JSON, **headers: str) -> tuple[bytes, bytes]:
        """The head and the body of a reply."""
        if self.plain:
            return head(status, Content_Type=kind, Content_Length=str(len(content)), **headers), content
        coding = {"Content_Encoding": "gzip"} if self.asks_for_gzip else {}
        packed = gzip.compress(content, 6) if self.asks_for_gzip else content
        return head(status, Content_Type=kind, **coding, Transfer_Encoding="chunked", **headers), chunked(packed)


Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Form], Awaitable[bool]]
"""What is done with one request; true if the connection may carry another."""


def raw(content: bytes, *, keep: bool = True) -> Act:
    """Write these bytes."""
    return written(lambda _form: content, keep=keep)


def written(content: Callable[[Form], bytes], *, keep: bool = True) -> Act:
    """Write what this makes of the form of the reply."""

    async def act(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: Form) -> bool:
        writer.write(content(form))
        await writer.drain()
        return keep

    return act


def answer(body: object = None, status: int = 200, **headers: str) -> Act:
    """Answer JSON, or nothing but a status; the connection stays open."""
    content = b"" if body is None else json.dumps(body).encode()
    return written(lambda form: form.reply(content, status, **headers))


def then_close(act: Act) -> Act:
    """Do this, and close the connection without having said so."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: Form) -> bool:
        await act(reader, writer, form)
        return False

    return closing


def refuse(status: int, code: str, message: str = "No.", **headers: str) -> Act:
    """Refuse in Salesforce's form."""
    return answer([{"errorCode": code, "message": message}], status, **headers)


def html(status: int = 503) -> Act:
    """What a load balancer says in Salesforce's place."""
    page = b"<html><body><h1>Down for maintenance</h1></body></html>"
    return written(lambda form: form.reply(page, status, "text/html"))


def redirect(location: str, status: int = 302) -> Act:
    """Send the client to another address."""
    return written(lambda form: form.reply(b"", status, "text/html", Location=location))


def bad_json(status: int = 201) -> Act:
    """A success that cannot be read."""
    return written(lambda form: form.reply(b'{"id": "003Sb00000000', status))


def deep(levels: int) -> Act:
    """JSON nested so deep."""
    content = b"[" * levels + b"]" * levels
    return written(lambda form: form.reply(content))


async def close(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _form: Form) -> bool:
    """Close without a word."""
    return False


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form) -> bool:
    """Close with a TCP reset in place of an end."""
    lingering = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
    writer.transport.abort()
    return False


async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: Form) -> bool:
    """Close in the middle of the body."""
    content = json.dumps({"id": "003Sb0000000002AAA", "success": True, "errors": []}).encode()
    before, body = form.parts(content)
    writer.write(before + body[: len(body) // 2])
    await writer.drain()
    return False


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _form: Form) -> bool:
    """Say nothing until the other side gives up."""
    await reader.read()
    return False


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: Form) -> bool:
    """Answer one byte at a time, always in time for a limit on each byte alone."""
    content = json.dumps({"records": [random.randbytes(4).hex() for _ in range(10_000)]}).encode()
    for byte in form.reply(content):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.005)
    return True


async def huge(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _form: Form, *, size: int = LARGE) -> bool:
    """A body without an end in sight; it is large on the wire, so nothing packs it."""
    writer.write(head(200, Content_Type=JSON, Content_Length=str(size)))
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


async def bomb(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, form: Form, *, size: int = LARGE) -> bool:
    """A few bytes that unpack to very many."""
    content = packed(size)
    framing = {"Content_Length": str(len(content))} if form.plain else {"Transfer_Encoding": "chunked"}
    writer.write(head(200, Content_Type=JSON, Content_Encoding="gzip", **framing))
    writer.write(content if form.plain else chunked(content))
    await writer.drain()
    return True


class Upstream:
    """What it does with the requests to come, and what came."""

    def __init__(self, *, plain: bool = False) -> None:
        self.plain = plain
        self.port = 0
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        """Those of each request, by their names in lower case."""
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
                    request, form = await self._whole(reader)
                    self._note(request, number)
                    act = self._script.pop(0) if self._script else self.usual
                    going = await act(reader, writer, form)
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    def _note(self, request: tuple[str, str], number: int) -> None:
        self.requests.append(request)
        self.carriers.append(number)
        self._came.set()

    async def _whole(self, reader: asyncio.StreamReader) -> tuple[tuple[str, str], Form]:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        assert "transfer-encoding" not in headers
        self.headers.append(headers)
        await reader.readexactly(int(headers.get("content-length", "0")))
        form = Form(self.plain, "gzip" in headers.get("accept-encoding", ""))
        return (method, target.partition("?")[0]), form

    @classmethod
    @asynccontextmanager
    async def start(cls, *, plain: bool = False) -> AsyncIterator["Upstream"]:
        upstream = cls(plain=plain)
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

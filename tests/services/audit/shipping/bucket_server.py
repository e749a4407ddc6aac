"""A bucket over HTTP on this machine: moto's server in a process of its own, wires that fail, and bare refusals."""

import asyncio
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

SECONDS = 60
BUCKET = "audit-of-acme"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_REGION": "us-east-1"}


@contextmanager
def start_moto(folder: Path) -> Iterator[str]:
    """The URL of a server of its own; it has one bucket."""
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    log = folder / "moto.log"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            url = _wait_for_url(process, log)
            _send(f"{url}/{BUCKET}", "PUT")
            yield url
        finally:
            process.terminate()


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        match = re.search(r"http://127\.0\.0\.1:\d+", log.read_text("utf-8"))
        if match:
            return match[0]
        time.sleep(0.05)
    raise AssertionError(log.read_text("utf-8"))


def _send(url: str, method: str, body: bytes | None = None) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain"}, method=method)
    with urllib.request.urlopen(request, timeout=SECONDS):
        pass


class Wire:
    """Stands between a shipper and the bucket; each connection is cut once so many bytes have gone up or down."""

    def __init__(self, host: str, port: int) -> None:
        self._bucket = host, port
        self.up: int | None = None
        self.down: int | None = None
        self.cuts = 0
        self.puts = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(*self._bucket)
        ways = [
            asyncio.create_task(self._carry(reader, to_writer, "up")),
            asyncio.create_task(self._carry(to_reader, writer, "down")),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for each in (writer, to_writer):
            each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        put = False
        while chunk := await reader.read(65_536):
            put = put or (chunk.startswith(b"PUT ") and b"events-" in chunk[:400])
            self.puts += way == "up" and chunk.startswith(b"PUT ") and b"events-" in chunk[:400]
            limit = self.up if way == "up" and put else self.down if way == "down" and self.puts else None
            if limit is not None:
                self.cuts += 1
                self.up = self.down = None
                writer.write(chunk[:limit])
                await writer.drain()
                return
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def wire_to(url: str) -> AsyncIterator[Wire]:
    """A wire to the bucket."""
    host, _, port = url.removeprefix("http://").partition(":")
    wire = Wire(host, int(port))
    async with await asyncio.start_server(wire.serve, "127.0.0.1", 0) as server:
        wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield wire


@asynccontextmanager
async def refuse_all(status: str, code: str | None, seconds: float = 0.0) -> AsyncIterator[str]:
    """A bucket that answers every request with one of S3's errors."""
    body = f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>m</Message></Error>" if code else ""
    reply = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(seconds):
                await reader.read()  # until the client gives up, or it is time
        writer.write(reply)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

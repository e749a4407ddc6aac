"""Hosts and proxies that speak TLS, with certificates that are trusted or not."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from orgserver.salesforce.connections import build_tls_context
from orgserver.sandbox.tls import Certificates, certificates
from tests.wire.reply_cases import PLAIN
from tests.wire.senders import listening


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for localhost and 127.0.0.1."""
    return certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The same by an authority that nobody trusts."""
    return certificates(tmp_path_factory.mktemp("strange"))


@dataclass
class Host:
    """What a server heard."""

    port: int = 0
    names: list[str | None] = field(default_factory=list)
    """Those that clients asked for (SNI)."""
    heads: list[bytes] = field(default_factory=list)


def server_context(made: Certificates, host: Host) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate_file, made.key_file)
    context.sni_callback = lambda _socket, name, _context: host.names.append(name)
    return context


@asynccontextmanager
async def served(
    made: Certificates | None, answer: bytes = PLAIN, *, keep: bool = True, address: str = "127.0.0.1"
) -> AsyncIterator[Host]:
    """A server that gives each request this answer, and cuts the connection behind it if it does not keep it."""
    host = Host()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            host.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            if not keep:
                await asyncio.sleep(0.05)
                writer.get_extra_info("socket").shutdown(1)  # without TLS's own word for the end
                return

    async with listening(serve, address, server_context(made, host) if made else None) as host.port:
        yield host


@asynccontextmanager
async def proxied(made: Certificates | None, answer: bytes | None = None) -> AsyncIterator[Host]:
    """A proxy: it makes tunnels, and passes plain requests on; or it says this."""
    host = Host()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        host.heads.append(request)
        if answer is not None:
            writer.write(answer)
            await reader.read()
            return
        method, target, _ = request.split(b" ", 2)
        name, _, port = (target if method == b"CONNECT" else target.split(b"/")[2]).decode().partition(":")
        onward_reader, onward_writer = await asyncio.open_connection(name, int(port))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            onward_writer.write(request)
        try:
            await asyncio.gather(pump(reader, onward_writer), pump(onward_reader, writer))
        finally:
            onward_writer.close()

    async with listening(serve, tls=server_context(made, host) if made else None) as host.port:
        yield host


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def trusting(made: Certificates | None) -> ssl.SSLContext:
    return build_tls_context(made.ca_file if made else None)

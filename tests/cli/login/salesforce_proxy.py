"""A proxy behind which Salesforce's own host names answer, for commands that run as processes of their own."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class Proxy:
    """Answers ``CONNECT`` itself: what goes through is encrypted, and read here all the same."""

    url: str
    ca_file: Path
    connected: list[str]
    """Host and port of every connection that was asked for."""

    @property
    def env(self) -> dict[str, str]:
        """What a command needs to go through it."""
        return {"ORGSERVER_PROXY": self.url, "ORGSERVER_CA_FILE": str(self.ca_file)}


@asynccontextmanager
async def proxy(folder: Path, answer: Answer, hosts: list[str]) -> AsyncIterator[Proxy]:
    """Serve ``hosts`` by ``answer``."""
    tls, ca_file = _certificate(folder, hosts)
    connected: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            target = head.split()[1]
            connected.append(target)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.start_tls(tls)
            response = answer(await _request(reader, target.removesuffix(":443")))
            writer.write(_bytes(response))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Proxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", ca_file, connected)


async def _request(reader: asyncio.StreamReader, host: str) -> httpx.Request:
    head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head.split(" ")
    headers = dict(line.split(": ", 1) for line in lines if line)
    length = {name.lower(): value for name, value in headers.items()}.get("content-length", "0")
    body = await reader.readexactly(int(length))
    return httpx.Request(method, f"https://{host}{target}", headers=headers, content=body)


def _bytes(response: httpx.Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status_code} X", *(f"{name}: {value}" for name, value in response.headers.items())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1") + response.content


def _certificate(folder: Path, hosts: list[str]) -> tuple[ssl.SSLContext, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "proxy.pem", folder / "proxy-key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, private)
    return context, certificate

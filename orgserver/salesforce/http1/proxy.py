"""The proxy that an operator names: how requests for plain http go through it, and how tunnels are made for https."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from orgserver.salesforce.http1.failures import NeverSent
from orgserver.salesforce.http1.requests import Origin

_MAX_HEAD: Final = 16 * 1024
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r|\Z)")
_CREATED: Final = 300
_UNREADABLE: Final = "gave no answer that can be read"
_HOST: Final = re.compile("[!-~]+")
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is, and what it wants to see."""

    secure: bool
    host: str
    port: int
    headers: str = field(repr=False)
    """Lines of a request's head that are for the proxy: who we are."""


def parse_proxy(url: str) -> Proxy:
    """Read ``http[s]://[user:password@]host[:port]``; NeverSent, without the text, if it is anything else."""
    try:
        parts = urlsplit(url)
        default_port = _PORTS[parts.scheme]
        port = parts.port or default_port
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        pair = f"{user}:{password}".encode("latin-1")
    except (ValueError, KeyError):
        raise NeverSent("the proxy's address (ORGSERVER_PROXY) is no http or https URL") from None
    if not parts.hostname or not _HOST.fullmatch(parts.hostname):
        raise NeverSent("the proxy's address (ORGSERVER_PROXY) names no host")
    login = parts.username is not None or parts.password is not None
    headers = f"Proxy-Authorization: Basic {b64encode(pair).decode('ascii')}\r\n" if login else ""
    return Proxy(parts.scheme == "https", parts.hostname, port, headers)


class Tunnel(asyncio.Protocol):
    """A connection to a proxy, until it is one to an origin.

    What the proxy says is read to the end of its head; whatever follows would not be the origin's, which waits for us.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._head = b""
        self._answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        """What is wrong with it, or None."""

    async def open(self, proxy: Proxy, origin: Origin) -> None:
        """Have the proxy connect us with an origin; NeverSent if it does not."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}"
        self.transport.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{proxy.headers}\r\n".encode("ascii"))
        try:
            problem = await self._answer
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        if problem is not None:
            self.transport.abort()
            raise NeverSent(f"the proxy (ORGSERVER_PROXY) {problem}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)  # a stream's has both sides; uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        """Some of the proxy's answer came."""
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if rest or len(self._head) > _MAX_HEAD:
            self._end(_UNREADABLE)
        elif end:
            status = _STATUS_LINE.match(head)
            if status is None:
                self._end(_UNREADABLE)
            else:
                made = 200 <= int(status[1]) < _CREATED  # noqa: PLR2004  # a success
                self._end(None if made else f"refused to connect: {int(status[1])}")

    def connection_lost(self, _error: Exception | None) -> None:
        """The proxy has closed."""
        self._end("closed the connection")

    def _end(self, problem: str | None) -> None:
        if not self._answer.done():
            self._answer.set_result(problem)

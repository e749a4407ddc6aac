"""Sends requests to an org's hosts over connections that are kept for the next one."""

from __future__ import annotations

from orgserver.salesforce.http1.connection import Connection
from orgserver.salesforce.http1.dialer import Dialer, MakeTlsContext
from orgserver.salesforce.http1.failures import NeverSent
from orgserver.salesforce.http1.requests import Grow, HttpReply, HttpRequest, Origin

CONNECT_SECONDS = 5.0
"""From the name to the end of the TLS handshake."""
KEEP_ALIVE_SECONDS = 15.0


class HttpSender:
    """One org's connections: as many as it has requests under way, whose number others bound."""

    def __init__(
        self,
        *,
        tls_context: MakeTlsContext,
        proxy: str | None,
        connect_seconds: float = CONNECT_SECONDS,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self._dialer = Dialer(tls_context=tls_context, proxy=proxy, seconds=connect_seconds)
        self._keep_alive_seconds = keep_alive_seconds
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()

    async def send(self, request: HttpRequest, *, seconds: float, grow: Grow | None = None) -> HttpReply:
        """Send a request over a connection that is kept, or over a new one; as ``Sender.send``."""
        request.written = False
        head = self._write_head(request)
        connection = self._take_idle(request.origin) or await self._connect(request.origin)
        reply = await connection.exchange(request, head, seconds=seconds, grow=grow)
        if connection.keep(self._keep_alive_seconds):
            self._idle.setdefault(request.origin, []).append(connection)
        return reply

    async def aclose(self) -> None:
        """Close every connection; what is under way on one is lost."""
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.ended

    def _write_head(self, request: HttpRequest) -> bytes:
        proxy = self._dialer.proxy
        if proxy is None or request.origin.secure:
            line = f"{request.method} {request.target} HTTP/1.1\r\n"
        else:  # a proxy for plain http is told where to go (RFC 9112, 3.2.2)
            line = f"{request.method} http://{request.origin.authority}{request.target} HTTP/1.1\r\n{proxy.headers}"
        return line.encode("ascii") + request.headers

    def _take_idle(self, origin: Origin) -> Connection | None:
        """The connection that was used last, if it can be used again."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.is_usable(fresh=False):
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin) -> Connection:
        connection = await self._dialer.dial(origin, self._forget)
        if not connection.is_usable(fresh=True):
            connection.abort()
            raise NeverSent("the connection ended before anything was sent")
        self._open.add(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin, [])
        if connection in idle:
            idle.remove(connection)

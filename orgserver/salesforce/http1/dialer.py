"""Makes connections: names, addresses, a proxy's tunnel, TLS. Nothing of a request is written here."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import cached_property
from typing import Final, TypeVar

import aiohappyeyeballs

from orgserver.salesforce.http1.addresses import AddressLookup
from orgserver.salesforce.http1.connection import Connection
from orgserver.salesforce.http1.failures import NeverSent, explain_connect_failure
from orgserver.salesforce.http1.proxy import Proxy, Tunnel, parse_proxy
from orgserver.salesforce.http1.requests import Origin

_NEXT_ADDRESS_SECONDS: Final = 0.25
"""How long one address of a name has before the next is tried beside it (RFC 8305)."""

MakeTlsContext = Callable[[], ssl.SSLContext]
OnEnd = Callable[[Connection], None]
P = TypeVar("P", bound=asyncio.Protocol)


class Dialer:
    """Makes connections to origins, through a proxy where there is one."""

    def __init__(self, *, tls_context: MakeTlsContext, proxy: str | None, seconds: float) -> None:
        self._addresses = AddressLookup()
        self._tls_context = tls_context
        self._proxy_url = proxy
        self._seconds = seconds

    @cached_property
    def proxy(self) -> Proxy | None:
        """The proxy, if there is one; NeverSent if its address is none."""
        return parse_proxy(self._proxy_url) if self._proxy_url else None

    async def dial(self, origin: Origin, on_end: OnEnd) -> Connection:
        """A new connection; NeverSent, with a reason for people, if there is none in time."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._dial(origin, on_end)
        except TimeoutError as error:
            raise NeverSent("no connection in time") from error
        except NeverSent:
            raise
        except Exception as error:  # whatever it is, nothing of a request was written
            raise NeverSent(explain_connect_failure(error)) from error

    async def _dial(self, origin: Origin, on_end: OnEnd) -> Connection:
        proxy = self.proxy
        if proxy is None:
            sock = await self._open_socket(origin.host, origin.port)
            return await self._wrap(sock, origin.host if origin.secure else None, lambda: Connection(origin, on_end))
        try:
            sock = await self._open_socket(proxy.host, proxy.port)
        except (OSError, RuntimeError, UnicodeError) as error:  # uvloop has the second where asyncio has the first
            raise NeverSent("the proxy (ORGSERVER_PROXY) could not be reached") from error
        name = proxy.host if proxy.secure else None
        if not origin.secure:
            return await self._wrap(sock, name, lambda: Connection(origin, on_end))
        tunnel = await self._wrap(sock, name, Tunnel)
        await tunnel.open(proxy, origin)
        return await self._secure(tunnel, origin, on_end)

    async def _open_socket(self, host: str, port: int) -> socket.socket:
        addresses = await self._addresses.find(host, port)
        return await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, loop=asyncio.get_running_loop()
        )

    async def _wrap(self, sock: socket.socket, tls_name: str | None, make: Callable[[], P]) -> P:
        """A protocol over a socket, with TLS where there is a name that the certificate must have."""
        loop = asyncio.get_running_loop()
        try:
            tls = self._tls_context() if tls_name is not None else None
            _, protocol = await loop.create_connection(make, sock=sock, ssl=tls, server_hostname=tls_name)
        except BaseException:
            sock.close()
            raise
        return protocol

    async def _secure(self, tunnel: Tunnel, origin: Origin, on_end: OnEnd) -> Connection:
        """TLS with the origin through a proxy's tunnel."""
        connection = Connection(origin, on_end)
        transport = await asyncio.get_running_loop().start_tls(
            tunnel.transport, connection, self._tls_context(), server_hostname=origin.host
        )
        if transport is None:
            raise NeverSent("no TLS connection could be made")
        connection.connection_made(transport)
        return connection

"""TLS handshakes of connections to come: each has its place and its time before anything is done for it.

An event loop's own server counts nobody before a handshake has ended: who never ends one could take every file
descriptor of the process.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from orgserver.serving.http.connections.places import Connections

_PAUSE_SECONDS = 1.0
"""Before the next is taken when the system has no place for one."""


class Handshakes:
    """Takes connections from a socket that listens, and encrypts them."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        connections: Connections,
        make_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        self._listener = listener
        self._context = context
        self._connections = connections
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        listener.setblocking(False)
        self._accepting = self._loop.create_task(self._accept())

    def close(self) -> None:
        """Take no more, and give up those whose handshakes have not ended."""
        for task in (self._accepting, *self._under_way):
            task.cancel()

    async def _accept(self) -> None:
        while True:
            try:
                connection, address = await self._loop.sock_accept(self._listener)
            except OSError:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            source = str(address[0])
            if not self._connections.reserve(source):
                connection.close()
                continue
            task = self._loop.create_task(self._shake(connection, source))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _shake(self, connection: socket.socket, source: str) -> None:
        try:
            with suppress(OSError):  # of TLS, too, and of time
                await self._loop.connect_accepted_socket(
                    self._make_protocol,
                    connection,
                    ssl=self._context,
                    ssl_handshake_timeout=self._connections.limits.handshake_seconds,
                )
        finally:
            self._connections.free(source)

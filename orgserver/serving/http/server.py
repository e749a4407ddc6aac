"""Listens, and hands each request to the app, until a signal asks for the end."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from orgserver.model.errors import ConfigError
from orgserver.serving.http.certificates import Certificate
from orgserver.serving.http.connections.handshakes import Handshakes
from orgserver.serving.http.connections.places import ConnectionLimits, Connections, OnRefusal
from orgserver.serving.http.connections.protocol import Connection
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.http.proxies import TrustedProxies
from orgserver.serving.shutdown import Ending

_BACKLOG = 128
"""All that wait may be taken at once, before anybody can look whether there is a place for them."""
_ADVICE = {
    errno.EADDRINUSE: "give another port, or 0 for a free one",
    errno.EADDRNOTAVAIL: "give an address of this machine; 0.0.0.0 is every one of them",
    errno.EACCES: "ports below 1024 are for root: give a higher one",
}
"""What to do about an address that cannot be had."""
_TICK_SECONDS = 1.0
_LOOK_SECONDS = 0.02
_GOODBYE_SECONDS = 1.0
_CUT_OFF_SECONDS = 0.5


def listen(host: str, port: int, option: str) -> socket.socket:
    """Take an address that an option names; ConfigError where somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # where it would let two programs have one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{option} {host}:{port}: {error.strerror or error}",
            hint=_ADVICE.get(error.errno or 0, "give another address, or another port"),
        ) from None
    return listener


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    ending: Ending,
    ready: Callable[[], None],
    options: HttpOptions | None = None,
    limits: ConnectionLimits | None = None,
    on_refusal: OnRefusal | None = None,
) -> None:
    """Serve on a socket that listens; what is under way when the end is asked for is answered first.

    Without ``options`` nothing is encrypted, and no proxy is trusted. ``on_refusal`` is told of what is no request.
    """
    certificate = _open_certificate(options) if options is not None else None
    if certificate is not None and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, certificate.reload)
    connections = _make_connections(options, limits or ConnectionLimits(in_all=_count_places()))
    if on_refusal is not None:
        connections.on_refusal = on_refusal
    watching = asyncio.create_task(connections.watch())
    config = uvicorn.Config(
        app,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    serving = asyncio.create_task(_Server(config, connections, certificate, ending).serve(sockets=[listener]))
    ready()
    try:
        await serving
    finally:
        watching.cancel()


def _open_certificate(options: HttpOptions) -> Certificate | None:
    if options.tls_cert is None or options.tls_key is None:
        return None
    return Certificate(options.tls_cert, options.tls_key)


def _make_connections(options: HttpOptions | None, limits: ConnectionLimits) -> Connections:
    if options is None:
        return Connections(limits, lambda _source: False)
    limits = replace(limits, body_bytes=options.max_body)
    return Connections(limits, TrustedProxies(options.trusted_proxies).holds)


def _count_places() -> int:
    """How many clients may be connected: each half of what the process may open is theirs and the orgs'."""
    most = ConnectionLimits().in_all
    if sys.platform == "win32":
        return most
    import resource  # noqa: PLC0415  # not on Windows

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if files == resource.RLIM_INFINITY else min(most, files // 2)


class _Server(uvicorn.Server):
    """uvicorn's, without its hands on the process's signals: they are ours, and so is how it ends."""

    def __init__(
        self, config: uvicorn.Config, connections: Connections, certificate: Certificate | None, ending: Ending
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self._certificate = certificate
        self._ending = ending

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections, and encrypt them where there is a certificate."""
        make = partial(Connection, self._connections, config=self.config, server_state=self.server_state, app_state={})
        self.servers = [await self._take(listener, make) for listener in sockets or ()]
        self.started = True

    async def _take(self, listener: socket.socket, make: Callable[[], Connection]) -> Any:
        """What takes connections from a socket, until it is closed."""
        if self._certificate is not None:
            return Handshakes(listener, self._certificate.context, self._connections, make)
        return await asyncio.get_running_loop().create_server(make, sock=listener, backlog=_BACKLOG)

    async def main_loop(self) -> None:
        """Serve until the end is asked for; once a second the ``Date`` of answers is made anew."""
        while not self._ending.requested.is_set():
            await self.on_tick(0)
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._ending.requested.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, close those on which nothing is asked, and answer what is under way."""
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # the others close with their answers
        idle = asyncio.Event()
        waiting = asyncio.create_task(self._wait_until_idle(idle))
        await self._ending.drain(idle)
        waiting.cancel()
        await self._cut_off()

    async def _wait_until_idle(self, idle: asyncio.Event) -> None:
        """Until every request is answered, and then a moment for whoever is slow to read, or to say goodbye by TLS."""
        state = self.server_state
        while state.tasks:  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(_LOOK_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                while state.connections:  # noqa: ASYNC110  # as above
                    await asyncio.sleep(_LOOK_SECONDS)
        idle.set()

    async def _cut_off(self) -> None:
        """End the requests that did not come whole until now, and close on those who do not read their answers."""
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CUT_OFF_SECONDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

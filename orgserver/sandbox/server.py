"""The sandbox itself: pretend orgs, each on a loopback port of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from orgserver.model.errors import OperatorError
from orgserver.sandbox.app import Connection, OrgApp
from orgserver.sandbox.oauth.assertions import public_key
from orgserver.sandbox.oauth.connected_apps import PLATFORM_CLI
from orgserver.sandbox.org import CALLBACK, SandboxOrg
from orgserver.sandbox.tls import Certificates, certificates

MAX_ORGS = 2_000
_MAX_HEAD = 256 * 1024
IDLE_SECONDS = 10
"""Shorter than clients usually keep an idle connection."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Pretend orgs that are being served."""

    orgs: list[SandboxOrg]
    ca_file: Path | None = None

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        orgs: int = 2,
        *,
        port: int = 0,
        tls_folder: Path | None = None,
        rotation: bool = True,
        callbacks: Sequence[str] = (CALLBACK,),
        plain: bool = False,
        first_org: int = 1,
        jwt_public_key: str | None = None,
        idle_seconds: int = IDLE_SECONDS,
    ) -> AsyncIterator[Sandbox]:
        """Serve on 127.0.0.1, org i at ``port + i`` (0: free ports); https with a throwaway CA in ``tls_folder``.

        ``first_org`` is the number of the first one (from 1), from which ids and names are made.
        Replies have Salesforce's form: packed for whoever asks, in chunks, with its headers; ``plain``: without.
        A connection on which nothing is asked for ``idle_seconds`` is closed.
        ``jwt_public_key`` is the PEM of a public key or certificate, whose assertions each org takes.
        Raises OperatorError when a port is taken, or the key is none.
        """
        sockets = _bind(orgs, port)
        tls = certificates(tls_folder) if tls_folder is not None else None
        scheme = "https" if tls else "http"
        urls = [f"{scheme}://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
        sandbox_orgs = [
            SandboxOrg(number, url, rotation, callbacks=list(callbacks), plain=plain)
            for number, url in enumerate(urls, first_org - 1)
        ]
        if jwt_public_key is not None:
            _take_assertions(sandbox_orgs, jwt_public_key)
        closing = asyncio.Event()
        listeners = [_Listener(org, sandbox_orgs, tls, closing, idle_seconds) for org in sandbox_orgs]
        try:
            for listener, each in zip(listeners, sockets, strict=True):
                await listener.listen(each)
            yield cls(sandbox_orgs, tls.ca_file if tls else None)
        finally:
            closing.set()
            for listener in listeners:
                await listener.close()
            for each in sockets:
                each.close()

    def described(self) -> dict[str, Any]:
        """URLs and credentials, for people and scripts."""
        description: dict[str, Any] = {
            "orgs": [org.described() for org in self.orgs],
            "public_client_id": PLATFORM_CLI,
            "callbacks": self.orgs[0].callbacks,
        }
        return description | ({"ca_file": str(self.ca_file)} if self.ca_file else {})


class _Listener:
    """One org's port.

    uvicorn's protocol without uvicorn's server: that one ticks ten times a second, takes the process's signals,
    and waits a tenth of a second whenever it ends.
    """

    def __init__(
        self,
        org: SandboxOrg,
        orgs: list[SandboxOrg],
        tls: Certificates | None,
        closing: asyncio.Event,
        idle_seconds: int,
    ) -> None:
        self._connections: dict[tuple[str, int], Connection] = {}
        self._org = org
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._config = uvicorn.Config(
            OrgApp(org, orgs, self._connections, closing),
            http=H11Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=idle_seconds,
            h11_max_incomplete_event_size=_MAX_HEAD,
            ssl_certfile=tls.certificate_file if tls else None,
            ssl_keyfile=tls.key_file if tls else None,
        )
        self._config.load()

    async def listen(self, listener: socket.socket) -> None:
        """Take connections from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Protocol(self._config, self._state, self._connections), sock=listener, ssl=self._config.ssl
        )

    async def close(self) -> None:
        """Take no more, end what there is, and wait for it."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections.values()):
            connection.transport.abort()
        await self._org.jobs.stop()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks)


class _Protocol(H11Protocol):
    """Keeps its connection where faults can reach it."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, connections: dict[tuple[str, int], Connection]
    ) -> None:
        super().__init__(config, state, {})
        self._connections = connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is not None:
            self._connections[self.client] = Connection(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            self._connections.pop(self.client, None)
        super().connection_lost(exc)


def _take_assertions(orgs: list[SandboxOrg], pem: str) -> None:
    try:
        key = public_key(pem)
    except ValueError:
        raise OperatorError(
            "this is no RSA public key or certificate in PEM", hint="openssl pkey -in KEY.pem -pubout writes one"
        ) from None
    for org in orgs:
        org.answers.jwt_public_key = key


def _bind(orgs: int, port: int) -> list[socket.socket]:
    if not 0 < orgs <= MAX_ORGS:
        raise OperatorError(f"the sandbox serves 1 to {MAX_ORGS:,} orgs")
    sockets: list[socket.socket] = []
    for number in range(orgs):
        # With its protocol named, asyncio switches Nagle's algorithm off on what it accepts.
        each = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            each.bind(("127.0.0.1", port + number if port else 0))
        except (OSError, OverflowError):
            for other in (*sockets, each):
                other.close()
            raise OperatorError(
                f"port {port + number} on 127.0.0.1 cannot be used",
                hint="choose another with --port, or 0 for a free one",
            ) from None
        sockets.append(each)
    return sockets

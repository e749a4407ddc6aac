"""The sandbox itself: pretend orgs, each on a loopback port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from orgserver.model.errors import OperatorError
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.rest import RestApp
from orgserver.sandbox.tls import Certificates, certificates

MAX_ORGS = 2_000


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Pretend orgs that are being served."""

    orgs: list[SandboxOrg]
    ca_file: Path | None = None

    @classmethod
    @asynccontextmanager
    async def start(
        cls, orgs: int = 2, *, port: int = 0, tls_folder: Path | None = None, rotation: bool = True
    ) -> AsyncIterator[Sandbox]:
        """Serve on 127.0.0.1, org i at ``port + i`` (0: free ports); https with a throwaway CA in ``tls_folder``.

        Raises OperatorError when a port is taken.
        """
        sockets = _bind(orgs, port)
        tls = certificates(tls_folder) if tls_folder is not None else None
        scheme = "https" if tls else "http"
        served = [
            SandboxOrg(number, f"{scheme}://127.0.0.1:{each.getsockname()[1]}", rotation)
            for number, each in enumerate(sockets)
        ]
        servers = [_server(org, served, tls) for org in served]
        async with asyncio.TaskGroup() as tasks:
            for server, each in zip(servers, sockets, strict=True):
                tasks.create_task(server.serve(sockets=[each]))
            try:
                await asyncio.gather(*(server.up.wait() for server in servers))
                yield cls(served, tls.ca_file if tls else None)
            finally:
                for server in servers:
                    server.should_exit = server.force_exit = True

    def described(self) -> dict[str, Any]:
        """URLs and credentials, for people and scripts."""
        told: dict[str, Any] = {"orgs": [org.described() for org in self.orgs]}
        return told | ({"ca_file": str(self.ca_file)} if self.ca_file else {})


class _Server(uvicorn.Server):
    """A server inside our own process: it says when it is up, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _server(org: SandboxOrg, orgs: list[SandboxOrg], tls: Certificates | None) -> _Server:
    transports: dict[tuple[str, int], asyncio.Transport] = {}

    class Protocol(H11Protocol):
        """Keeps its transport where faults can reach it."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transports[transport.get_extra_info("peername")[:2]] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            transports.pop(self.transport.get_extra_info("peername")[:2], None)
            super().connection_lost(exc)

    return _Server(
        uvicorn.Config(
            RestApp(org, orgs, transports),
            http=Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            ssl_certfile=tls.certificate_file if tls else None,
            ssl_keyfile=tls.key_file if tls else None,
        )
    )


def _bind(orgs: int, port: int) -> list[socket.socket]:
    if not 0 < orgs <= MAX_ORGS:
        raise OperatorError(f"the sandbox serves 1 to {MAX_ORGS:,} orgs")
    bound: list[socket.socket] = []
    for number in range(orgs):
        # With its protocol named, asyncio switches Nagle's algorithm off on what it accepts.
        each = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            each.bind(("127.0.0.1", port + number if port else 0))
        except (OSError, OverflowError):
            for other in (*bound, each):
                other.close()
            raise OperatorError(
                f"port {port + number} on 127.0.0.1 cannot be used",
                hint="choose another with --port, or 0 for a free one",
            ) from None
        bound.append(each)
    return bound

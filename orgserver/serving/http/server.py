"""Listens, and hands each request to the app, until a signal asks for the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from orgserver.model.errors import ConfigError
from orgserver.serving.http.app import HttpApp
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.shutdown import DRAIN_SECONDS, GIVEN_UP_SECONDS, Ending

_BACKLOG = 1_024
_IDLE_SECONDS = 75


def listen(options: HttpOptions) -> socket.socket:
    """Take the address; ConfigError where somebody else has it."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((options.host, options.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"--http {options.host}:{options.port}: {error.strerror or error}",
            hint="give another port, or 0 for a free one",
        ) from None
    return listening


async def serve(app: HttpApp, listening: socket.socket, ending: Ending | None, ready: Callable[[], None]) -> None:
    """Serve on a socket that listens; what is under way when the end is asked for is answered first."""
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=int(DRAIN_SECONDS + GIVEN_UP_SECONDS),
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    listening_to_end = asyncio.create_task(_end(server, ending)) if ending is not None else None
    ready()
    try:
        await serving
    finally:
        if listening_to_end is not None:
            listening_to_end.cancel()


async def _end(server: uvicorn.Server, ending: Ending) -> None:
    await ending.requested.wait()
    server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's, without its hands on the process's signals: they are ours."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

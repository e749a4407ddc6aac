"""An OpenID Connect provider on loopback, in a process of its own: ``python -m tests.provider [--port N]``.

It prints its issuer when it listens. People sign in by name (ada, grace, mallory) and password (see ``state``);
``POST /control`` says how it behaves.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

import uvicorn

from tests.provider.app import Provider
from tests.provider.state import State


async def run(port: int, redirect_uris: list[str]) -> None:
    """Serve until the process ends."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
        state = State()
        state.conduct.redirect_uris = redirect_uris
        app = Provider(state, issuer).make_app()
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        print(issuer, flush=True)
        await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--redirect-uri", action="append", default=[])
    options = parser.parse_args()
    asyncio.run(run(options.port, options.redirect_uri))

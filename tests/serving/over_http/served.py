"""A server on HTTP in the test's own process, and callers with keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from orgserver.app import App
from orgserver.servers.http import serve_http
from orgserver.services.people.requests import KeyChanges
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.shutdown import Ending
from tests.people import OPERATOR, principal_changes

DRAIN_SECONDS = 5.0


@dataclass
class Served:
    """A server that listens."""

    app: App
    url: str
    """Without a path."""
    ending: Ending
    task: asyncio.Task[None]

    async def end(self) -> None:
        """Ask it to end, and wait until it has."""
        self.ending.requested.set()
        await self.task

    async def make_key(self, name: str, *grants: str, **more: Any) -> str:
        """Add a principal with grants; its API key."""
        changed = await self.app.people.principals.add(
            OPERATOR, name, principal_changes(*grants, keys=KeyChanges(new=True), **more)
        )
        assert changed.key is not None
        return changed.key.text.reveal()

    @asynccontextmanager
    async def raw(self, key: str | None, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
        """A client of HTTP that shows a key; ``None``: none."""
        shown = {"authorization": f"Bearer {key}"} if key is not None else {}
        async with httpx2.AsyncClient(base_url=self.url, headers=shown | headers, trust_env=False) as client:
            yield client

    @asynccontextmanager
    async def client(self, key: str, **options: Any) -> AsyncIterator[Client]:
        """A client of MCP that shows a key."""
        async with (
            self.raw(key) as http,
            Client(streamable_http_client(f"{self.url}/mcp", http_client=http), **options) as client,
        ):
            yield client


@asynccontextmanager
async def serving(app: App, **options: Any) -> AsyncIterator[Served]:
    """Serve an app on a free port of loopback until the block ends."""
    port = asyncio.get_running_loop().create_future()

    async def drain_seconds() -> float:
        return DRAIN_SECONDS

    ending = Ending(drain_seconds, app.services.executor.give_up)
    http_options = HttpOptions("127.0.0.1", 0, **options)
    task = asyncio.create_task(serve_http(app, http_options, None, port.set_result, ending))
    try:
        await asyncio.wait([port, task], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield Served(app, f"http://127.0.0.1:{port.result()}", ending, task)
    finally:
        ending.requested.set()
        await task

"""Two servers of one store: one that takes writes, and a standby that has each commit before its answer is given."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.store_server import StoreServer

from .store_places import MEMORY, own_server

_HOST = "host replication all 127.0.0.1/32 trust\n"


@asynccontextmanager
async def replicated_server() -> AsyncIterator[tuple[StoreServer, StoreServer]]:
    """The first, and its standby."""
    async with own_server() as first:
        await asyncio.to_thread(first.let_in, _HOST)
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="orgserver-faults-", dir=MEMORY))
        folder.chmod(0o755)
        standby = await asyncio.to_thread(StoreServer.make_standby, folder, first)
        try:
            await asyncio.to_thread(first.ask, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
            await asyncio.to_thread(first.ask, "postgres", "SELECT pg_reload_conf()")
            yield first, standby
        finally:
            await asyncio.to_thread(standby.remove)
            shutil.rmtree(folder, ignore_errors=True)

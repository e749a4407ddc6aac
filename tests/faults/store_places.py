"""Where the stores of faults lie: in a file of each home, or in a database of a PostgreSQL server of their own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.store_server import StoreServer

MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Where a commit waits for no disk."""


@dataclass(frozen=True)
class StorePlace:
    """A place for one store."""

    url: str | None = None
    server: StoreServer | None = None

    def settings(self, home: Path, **more: Any) -> dict[str, Any]:
        """What a process that opens the store is told."""
        return {"home": home, **({"database_url": self.url} if self.url else {}), **more}

    @property
    def environment(self) -> dict[str, str]:
        """The same for a process that is started."""
        return {"ORGSERVER_DATABASE_URL": self.url} if self.url else {}


IN_FILE = StorePlace()


@asynccontextmanager
async def own_server(*, above: Path | None = MEMORY) -> AsyncIterator[StoreServer]:
    """A server that nobody else uses, so that it may be killed; its data is in memory where nothing else is said."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="orgserver-faults-", dir=above))
    folder.chmod(0o755)
    server = await asyncio.to_thread(StoreServer.make, folder)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.remove)
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def place_of(server: StoreServer, *, by_socket: bool = False) -> AsyncIterator[StorePlace]:
    """A new database of a server, over its port or its socket."""
    name = await asyncio.to_thread(server.database)
    yield StorePlace(_of_driver(server.socket_url(name)) if by_socket else url_of(server, name), server)
    await asyncio.to_thread(server.drop, name)


def url_of(server: StoreServer, database: str, port: int | None = None) -> str:
    """The address of a database, as orgserver takes it; through another port where one is given."""
    address = _of_driver(server.url(database))
    return address.replace(f":{server.port}/", f":{port}/") if port is not None else address


def _of_driver(address: str) -> str:
    return address.replace("postgresql://", "postgresql+asyncpg://", 1)

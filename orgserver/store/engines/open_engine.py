"""The engine of a store, by where it lies."""

from __future__ import annotations

from importlib.util import find_spec

from orgserver.model.errors import StoreError
from orgserver.store.engines.address import FileAddress, StoreAddress
from orgserver.store.engines.engine import StoreEngine
from orgserver.store.engines.sqlite_engine import SqliteEngine
from orgserver.store.processes.lock_holders import Patience


def make_engine(address: StoreAddress, patience: Patience) -> StoreEngine:
    """What a store is opened through; StoreError where the place cannot be used."""
    if isinstance(address, FileAddress):
        return SqliteEngine(address, patience)
    require_driver()
    from orgserver.store.engines.server_engine import ServerEngine  # noqa: PLC0415  # nothing of it for a SQLite file

    return ServerEngine(address, patience)


def require_driver() -> None:
    """StoreError where the driver for PostgreSQL is not installed."""
    if find_spec("asyncpg") is None:
        raise StoreError("a store on PostgreSQL needs asyncpg", hint="pip install 'orgserver[postgres]'")

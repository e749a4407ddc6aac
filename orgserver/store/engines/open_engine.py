"""The engine of a store, by where it lies."""

from __future__ import annotations

from orgserver.model.errors import StoreError
from orgserver.store.engines.address import FileAddress, StoreAddress
from orgserver.store.engines.engine import StoreEngine
from orgserver.store.engines.sqlite_engine import SqliteEngine
from orgserver.store.processes.lock_holders import Patience


def make_engine(address: StoreAddress, patience: Patience) -> StoreEngine:
    """What a store is opened through; StoreError where the place cannot be used."""
    if isinstance(address, FileAddress):
        return SqliteEngine(address, patience)
    raise StoreError("this version keeps its store in a SQLite file alone")

"""The store's database: opening it, reading from it, and its writer, whichever engine it lies in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection

from orgserver.model.errors import StoreError
from orgserver.store.catalog_version import StoreReader
from orgserver.store.engines.address import FileAddress, StoreAddress
from orgserver.store.engines.engine import Clock, StoreEngine
from orgserver.store.engines.open_engine import make_engine
from orgserver.store.engines.sqlite_engine import CLOSING_SECONDS
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.processes.locks import PATIENCE
from orgserver.store.writer import Writer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")


class Database:
    """An open store: ``write`` changes it durably, ``reading`` gives a connection for queries."""

    def __init__(self, engine: StoreEngine, test_clock: Clock | None, patience: Patience) -> None:
        self.engine = engine
        self.clock = engine.clock(test_clock)
        self._patience = patience
        self._writer = Writer(engine, test_clock, patience)
        self.write = self._writer.write
        """Runs a change, and returns its result when it is durable."""

    @classmethod
    async def open(
        cls,
        address: StoreAddress | Path,
        *,
        migrate: bool = True,
        clock: Clock | None = None,
        patience: Patience = PATIENCE,
    ) -> Database:
        """Open the store, making or migrating it when needed; ``patience`` is for locks of other processes.

        Instants are the store's own; only a test gives a ``clock``.
        Raises StoreError with one sentence for a store that is foreign, damaged, too new, not writable or busy.
        """
        engine = make_engine(FileAddress(address) if isinstance(address, Path) else address, patience)
        database = cls(engine, clock, patience)
        try:
            await engine.make_ready(migrate=migrate)
        except BaseException:
            engine.discard()
            raise
        database._writer.start()  # our own
        return database

    @property
    def address(self) -> StoreAddress:
        """Where the store lies."""
        return self.engine.address

    @property
    def beside(self) -> Path:
        """The path whose name begins those of what is kept beside the database."""
        return self.engine.address.beside

    @property
    def file(self) -> Path:
        """The SQLite file; StoreError where the store lies on a server."""
        if isinstance(self.engine.address, FileAddress):
            return self.engine.address.file
        raise StoreError("this needs a store in a SQLite file, and this one lies on a server")

    @property
    def version_reader(self) -> StoreReader:
        """Tells whether orgs and principals are others than those that were read."""
        return self.engine.version_reader

    @property
    def longest_wait(self) -> float:
        """For how many seconds somebody has been waiting for a change of theirs."""
        return self._writer.longest_wait

    @property
    def lock_waits(self) -> tuple[int, float]:
        """How often this process has waited for the right to write, and for how many seconds in all."""
        return self._writer.lock_waits.number, self._writer.lock_waits.seconds

    @property
    def reconnects(self) -> int:
        """How often what writes has connected to the store anew."""
        return self._writer.connection.reconnects

    @property
    def commits(self) -> tuple[int, int]:
        """How many groups this process has committed, and how many changes were in them."""
        return self._writer.groups, self._writer.changes

    def wait_as(self, patience: Patience) -> None:
        """From now on wait for locks of other processes like this."""
        self._patience = patience
        self._writer.wait_as(patience)
        self.engine.wait_as(patience)

    def hurry(self, seconds: float) -> None:
        """From now on nobody waits longer than this for a lock: the process is about to end."""
        self.wait_as(replace(self._patience, seconds=min(seconds, self._patience.seconds), tell=None))

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for reading, of one snapshot from its first query on."""
        return self.engine.reading()

    async def scan(self, work: Callable[[Connection], T]) -> T:
        """Run long reading in a thread, over a connection of its own whose transactions the work begins itself."""
        return await self.engine.scan(work)

    async def close(self) -> None:
        """Close everything."""
        self.hurry(CLOSING_SECONDS)
        await self.engine.close()
        await self._writer.close()

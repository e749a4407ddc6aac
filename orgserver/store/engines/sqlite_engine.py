"""A store in a SQLite file: one machine's processes share it, and a lock file beside it orders who writes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreError
from orgserver.store.engines import sqlite_checks
from orgserver.store.engines.address import FileAddress
from orgserver.store.engines.engine import Clock
from orgserver.store.engines.sqlite_connections import (
    BEGIN,
    make_reader_engine,
    make_scan_engine,
    make_writer_engine,
)
from orgserver.store.engines.sqlite_reader import SqliteReader
from orgserver.store.files import lock_path, prepare_file
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_holders import Holder, Patience
from orgserver.store.processes.locks import FileProcessLock, LockFile, hold_file_if_free, hold_lock, hold_lock_if_free
from orgserver.store.transaction import DriverConnection, TransactionStart, read_clock

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

CLOSING_SECONDS = 0.5
"""For the lock when connections are closed; without it they are closed all the same."""
_SIGNS_FOR_ALL = (
    *("disk", "full", "locked", "readonly", "malformed"),
    *("unable to open", "not a database", "no such table"),
)


class SqliteEngine:
    """The file, its lock file, and the connections to it (``engine.StoreEngine``)."""

    is_server = False

    def __init__(self, address: FileAddress, patience: Patience) -> None:
        """Make the file where there is none; StoreError where it cannot be used."""
        prepare_file(address.file)
        self.address = address
        self._file = address.file
        self._patience = patience
        try:
            self.lock = LockFile(lock_path(self._file))
        except OSError as error:
            raise StoreError(f"the lock file of {self._file} cannot be used: {error.strerror}") from None
        self._engine = make_writer_engine(self._file)
        self._reads: AsyncEngine | None = None
        self.version_reader = SqliteReader(self._file, self.reading)

    def clock(self, test_clock: Clock | None) -> Clock:
        """This machine's."""
        return test_clock or read_clock

    def run(self, work: Callable[[], None]) -> None:
        """Run what the writer's thread does: as it is."""
        work()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock file."""
        with self.lock.hold():
            yield

    def connect_writer(self) -> DriverConnection:
        """Connect for writing."""
        return DriverConnection(self._engine.connect())

    def begin(self, driver: DriverConnection, test_clock: Clock | None) -> TransactionStart:
        """Take SQLite's own right to write, too: from here on every lock is ours."""
        driver.execute(BEGIN)
        return TransactionStart((test_clock or read_clock)())

    def close_writer(self) -> None:
        """Let go of what writing needed."""
        self._engine.dispose()
        self.lock.close()

    def find_holder(self) -> Holder | None:
        """Who has the lock file."""
        return lock_holders.holder_of(self.lock.path)

    def explain(self, error: DBAPIError | OSError, *, is_writing: bool) -> StoreError:
        """What callers are told when SQLite, or the lock file, refuses."""
        if isinstance(error, OSError):
            return StoreError(f"the store's lock file cannot be used: {error.strerror}")
        busy = lock_holders.busy_in_sqlite(error, self._file)
        if busy is not None or not is_writing:
            return busy or StoreError(f"the store cannot be read: {error.orig}")
        hint = "check free disk space and the permissions of its folder"
        return StoreError(f"the store cannot be written: {error.orig}", hint=hint)

    def concerns_all(self, error: DBAPIError | OSError) -> bool:
        """Tell by SQLite's words whether a failure concerns the store, not one change."""
        return isinstance(error, OSError) or any(sign in str(error.orig) for sign in _SIGNS_FOR_ALL)

    def wait_as(self, patience: Patience) -> None:
        """From now on wait for locks of other processes like this."""
        self._patience = patience

    async def make_ready(self, *, migrate: bool) -> None:
        """Check the file, and make or migrate it, under the lock."""
        await sqlite_checks.run_detached(self._make_ready, migrate)

    def _make_ready(self, migrate: bool) -> None:
        try:
            with hold_lock(self._file, self._patience):
                connection = self._engine.connect()
                try:
                    sqlite_checks.check(connection, self._file, migrate=migrate)
                finally:
                    connection.close()
        except DBAPIError as error:
            busy = lock_holders.busy_in_sqlite(error, self._file)
            raise busy or sqlite_checks.unusable(self._file, error) from None
        except OSError as error:
            raise StoreError(f"the store {self._file} cannot be used: {error.strerror}") from None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading, of one snapshot from its first query on."""
        if self._reads is None:
            self._reads = make_reader_engine(self._file)
        try:
            async with self._reads.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise self.explain(error, is_writing=False) from error

    async def scan(self, work: Callable[[Connection], T]) -> T:
        """Run long reading in a thread, over a connection of its own whose transactions the work begins itself."""
        return await asyncio.to_thread(self._scan, work)

    def _scan(self, work: Callable[[Connection], T]) -> T:
        engine = make_scan_engine(self._file)
        try:
            connection = engine.connect()
            try:
                return work(connection)
            finally:
                with hold_lock_if_free(self._file, self._closing):
                    connection.close()
        except DBAPIError as error:
            raise self.explain(error, is_writing=False) from error

    def free_bytes(self) -> int | None:
        """How much more fits on the file's disk."""
        return shutil.disk_usage(self._file.parent).free

    def identity(self) -> object:
        """Which file it is: SQLite would go on writing into one that was deleted."""
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def process_lock(self, process_id: str) -> FileProcessLock:
        """What shows others that this process lives."""
        return FileProcessLock(self._file, process_id)

    @asynccontextmanager
    async def exclusive(self, purpose: str) -> AsyncIterator[bool]:
        """Have a lock file of a purpose, if it is free."""
        with hold_file_if_free(self._file.with_name(f"{self._file.name}.{purpose}.lock")) as is_mine:
            yield is_mine

    async def close(self) -> None:
        """Close what reads, under the lock file: the last connection to close checkpoints."""
        if self._reads is None and not self.version_reader.is_open:
            return
        with await asyncio.to_thread(self._hold_lock_if_free):
            self.version_reader.close()
            if self._reads is not None:
                await self._reads.dispose()

    def discard(self) -> None:
        """Let go of what a start took that failed."""
        self._engine.dispose()
        self.lock.close()

    def _hold_lock_if_free(self) -> ExitStack:
        lock = ExitStack()
        lock.enter_context(hold_lock_if_free(self._file, self._closing))
        return lock

    @property
    def _closing(self) -> Patience:
        return replace(self._patience, seconds=min(CLOSING_SECONDS, self._patience.seconds), tell=None)

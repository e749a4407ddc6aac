"""The database: opening, checking and migrating it, reading from it, and its writer."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreError
from orgserver.store.catalog_version import VersionReader
from orgserver.store.files import APPLICATION_ID, OLDER_SCHEMAS, SCHEMA, checking_briefly, lock_path, prepare_file
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.processes.locks import PATIENCE, LockFile, hold_lock, hold_lock_if_free
from orgserver.store.sqlite import make_reader_engine, make_scan_engine, make_writer_engine
from orgserver.store.transaction import read_clock
from orgserver.store.writer import Writer

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

CLOSING_SECONDS = 0.5
"""For the lock when connections are closed; without it they are closed all the same."""
logger = logging.getLogger("orgserver.store")


class Database:
    """An open store: ``write`` changes it durably, ``reading`` gives a connection for queries."""

    def __init__(self, file: Path, clock: Callable[[], int], patience: Patience) -> None:
        self.file = file
        self.clock = clock
        self._patience = patience
        self._lock = LockFile(lock_path(file))
        self._engine = make_writer_engine(file)
        self._writer = Writer(self._engine, self._lock, clock, patience)
        self.write = self._writer.write
        """Runs a change, and returns its result when it is durable."""
        self._reads: AsyncEngine | None = None
        self.version_reader = VersionReader(file)
        """Tells whether orgs and principals are others than those that were read."""

    @classmethod
    async def open(
        cls,
        file: Path,
        *,
        migrate: bool = True,
        clock: Callable[[], int] = read_clock,
        patience: Patience = PATIENCE,
    ) -> Database:
        """Open the store, making or migrating it when needed; ``patience`` is for locks of other processes.

        Raises StoreError with one sentence for a file that is foreign, damaged, too new, not writable or busy.
        """
        database = cls._prepared(file, clock, patience)
        await database._start(migrate)  # noqa: SLF001  # our own
        return database

    async def _start(self, migrate: bool) -> None:
        try:
            await _run_detached(self._make_ready, migrate)
        except BaseException:
            self._engine.dispose()
            self._lock.close()
            raise
        self._writer.start()

    @classmethod
    def _prepared(cls, file: Path, clock: Callable[[], int], patience: Patience) -> Database:
        prepare_file(file)
        try:
            return cls(file, clock, patience)
        except OSError as error:
            raise StoreError(f"the lock file of {file} cannot be used: {error.strerror}") from None

    @property
    def longest_wait(self) -> float:
        """For how many seconds somebody has been waiting for a change of theirs."""
        return self._writer.longest_wait

    @property
    def commits(self) -> tuple[int, int]:
        """How many groups this process has committed, and how many changes were in them."""
        return self._writer.groups, self._writer.changes

    def wait_as(self, patience: Patience) -> None:
        """From now on wait for locks of other processes like this."""
        self._patience = patience
        self._writer.wait_as(patience)

    def hurry(self, seconds: float) -> None:
        """From now on nobody waits longer than this for a lock: the process is about to end."""
        self.wait_as(replace(self._patience, seconds=min(seconds, self._patience.seconds), tell=None))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading, of one snapshot from its first query on."""
        if self._reads is None:
            self._reads = make_reader_engine(self.file)
        try:
            async with self._reads.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise self._not_read(error) from error

    async def scan(self, work: Callable[[Connection], T]) -> T:
        """Run long reading in a thread, over a connection of its own whose transactions the work begins itself."""
        return await asyncio.to_thread(self._scan, work)

    def _scan(self, work: Callable[[Connection], T]) -> T:
        engine = make_scan_engine(self.file)
        try:
            connection = engine.connect()
            try:
                return work(connection)
            finally:
                with hold_lock_if_free(self.file, self._closing):
                    connection.close()
        except DBAPIError as error:
            raise self._not_read(error) from error

    def _not_read(self, error: DBAPIError) -> StoreError:
        busy = lock_holders.busy_in_sqlite(error, self.file)
        return busy or StoreError(f"the store cannot be read: {error.orig}")

    @property
    def _closing(self) -> Patience:
        return replace(self._patience, seconds=min(CLOSING_SECONDS, self._patience.seconds), tell=None)

    async def close(self) -> None:
        """Close everything, under the lock file: the last connection to close checkpoints."""
        self.hurry(CLOSING_SECONDS)
        if self._reads is not None or self.version_reader.is_open:
            with await asyncio.to_thread(self._hold_lock_if_free):
                self.version_reader.close()
                if self._reads is not None:
                    await self._reads.dispose()
        await self._writer.close()

    def _hold_lock_if_free(self) -> ExitStack:
        lock = ExitStack()
        lock.enter_context(hold_lock_if_free(self.file, self._closing))
        return lock

    def _make_ready(self, migrate: bool) -> None:
        try:
            with hold_lock(self.file, self._patience):
                connection = self._engine.connect()
                try:
                    self._check(connection, migrate)
                finally:
                    connection.close()
        except DBAPIError as error:
            raise lock_holders.busy_in_sqlite(error, self.file) or _unusable(self.file, error) from None
        except OSError as error:
            raise StoreError(f"the store {self.file} cannot be used: {error.strerror}") from None

    def _check(self, connection: Connection, migrate: bool) -> None:
        version = _schema_of(connection, self.file)
        if version == SCHEMA:
            _quick_check(connection, self.file)
            return
        if version is not None and version not in OLDER_SCHEMAS:
            raise StoreError(
                f"the store {self.file} was written by a newer orgserver (schema {version}, this one knows {SCHEMA})",
                hint="update orgserver, or use the store's own version",
            )
        if version is not None and not migrate:
            raise StoreError(f"the store has schema {version}; {SCHEMA} is needed", hint="run: orgserver migrate")
        from orgserver.store.migration import upgrade  # noqa: PLC0415  # Alembic is slow to import and seldom needed

        connection.rollback()
        upgrade(connection)


def _schema_of(connection: Connection, file: Path) -> str | None:
    tables = set(connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
    if not tables:
        return None
    application = connection.execute(text("PRAGMA application_id")).scalar_one()
    if application != APPLICATION_ID or "alembic_version" not in tables:
        raise StoreError(
            f"{file} is the database of another program", hint="set ORGSERVER_HOME or ORGSERVER_DATABASE_URL to our own"
        )
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return version


def _quick_check(connection: Connection, file: Path) -> None:
    """Have SQLite check the file; StoreError for damage that it finds at once."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)  # noqa: S101  # the writer's engine has no other driver
    try:
        with checking_briefly(raw):
            answer = connection.execute(text("PRAGMA quick_check(1)")).scalar()
    except DBAPIError as error:
        if "interrupted" in str(error.orig):
            return
        raise
    if answer != "ok":
        raise StoreError(f"the store {file} is damaged: {answer}", hint="restore it from a backup")


def _unusable(file: Path, error: DBAPIError) -> StoreError:
    reason, hint = str(error.orig), "check the folder's permissions and free disk space"
    if "not a database" in reason or "malformed" in reason:
        return StoreError(f"{file} is damaged or no SQLite database", hint="restore it from a backup, or move it away")
    return StoreError(f"the store {file} cannot be used: {reason}", hint=hint)


async def _run_detached(step: Callable[..., T], *arguments: Any) -> T:
    """Run a step in a thread of its own, and leave it there when the caller is cancelled.

    ``asyncio.to_thread`` would hold up the end of the event loop, and so Ctrl-C, until the step is over.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = step(*arguments)
        except BaseException as error:  # noqa: BLE001  # it belongs to the caller
            _hand_over(loop, future, error=error)
        else:
            _hand_over(loop, future, result=result)

    threading.Thread(target=run, name="orgserver-step", daemon=True).start()
    return await future


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[T],
    *,
    result: Any = None,
    error: BaseException | None = None,
) -> None:
    def settle() -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more

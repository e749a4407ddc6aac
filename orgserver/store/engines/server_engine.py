"""A store in a database of a PostgreSQL server: processes of many machines share it, one writing at a time.

Who writes holds the row of the audit log's head from the beginning of its transaction on: it is there once in a store,
and every change of ours would need it in the end. Statements after that see all that others committed before.
They wait for a lock before it that is given to them in their order: for a row alone, who comes last may be first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, exc
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreBusy, StoreError
from orgserver.store.engines import server_checks, server_errors
from orgserver.store.engines.address import ServerAddress
from orgserver.store.engines.engine import Clock
from orgserver.store.engines.server_connections import (
    lock_key,
    make_reader_engine,
    make_scan_engine,
    make_writer_engine,
)
from orgserver.store.engines.server_locks import ServerProcessLock, hold_if_free
from orgserver.store.engines.server_reader import ServerReader
from orgserver.store.files import prepare_folder
from orgserver.store.processes.lock_holders import Holder, Patience
from orgserver.store.sql.threads import run_in_loop
from orgserver.store.transaction import DriverConnection, TransactionStart, read_clock

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

_READ_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_LOCK_HEAD = (  # the clock is read with the locks, which the subqueries wait for; of a locked row, the newest is read
    f"WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock({lock_key('write')})),"  # noqa: S608  # our own number
    " head AS MATERIALIZED (SELECT h.sequence, h.hash, h.sealed FROM turn, audit_head h FOR NO KEY UPDATE OF h)"
    f" {_READ_CLOCK}, head.* FROM head"
)
_LOCK_EMPTY = "LOCK TABLE store IN EXCLUSIVE MODE"
"""For a store that has no head yet: two first starts make one."""
_LOCK_TRIES = 4
"""Each of the server's ``lock_timeout``: callers have given up before."""


class ServerEngine:
    """The database, and the connections to it (``engine.StoreEngine``)."""

    is_server = True
    lock = None

    def __init__(self, address: ServerAddress, patience: Patience) -> None:
        """Make the folder for what lies beside the database; StoreError where that cannot be."""
        prepare_folder(address.beside.parent)
        self.address = address
        self._patience = patience
        self._writes: Engine | None = None
        self._reads: AsyncEngine | None = None
        self._ahead_us = 0
        """By how much the server's clock is ahead of ours, as last seen."""
        self.version_reader = ServerReader(address)

    def clock(self, test_clock: Clock | None) -> Clock:
        """The server's clock, as far as it can be told without asking."""
        return test_clock or (lambda: read_clock() + self._ahead_us)

    def run(self, work: Callable[[], None]) -> None:
        """Run what the writer's thread does in an event loop of that thread."""
        run_in_loop(work)

    def hold(self) -> AbstractContextManager[None]:
        """Nothing: ``begin`` waits."""
        return nullcontext()

    def connect_writer(self) -> DriverConnection:
        """Connect for writing."""
        if self._writes is None:
            self._writes = make_writer_engine(self.address)
        return DriverConnection(self._writes.connect())

    def begin(self, driver: DriverConnection, test_clock: Clock | None) -> TransactionStart:
        """Wait for the head's row; the instant is the server's."""
        for tries_left in reversed(range(_LOCK_TRIES)):
            try:
                start = _lock_head(driver)
                break
            except DBAPIError as error:
                driver.rollback()
                if server_errors.sqlstate(error) != server_errors.LOCK_TIMEOUT or not tries_left:
                    raise
        self._ahead_us = start.now - read_clock()
        return start if test_clock is None else start._replace(now=test_clock())

    def close_writer(self) -> None:
        """Let go of what writing needed."""
        if self._writes is not None:
            self._writes.dispose()

    def find_holder(self) -> Holder | None:
        """None: it may be another machine's."""
        return None

    def explain(self, error: DBAPIError | OSError, *, is_writing: bool) -> StoreError:
        """What callers are told when the server refuses, or is away."""
        del is_writing
        return server_errors.explain(error, str(self.address))

    def concerns_all(self, error: DBAPIError | OSError) -> bool:
        """Tell by the server's code whether a failure concerns the store, not one change."""
        return server_errors.concerns_all(error)

    def wait_as(self, patience: Patience) -> None:
        """From now on wait for locks of other processes like this."""
        self._patience = patience

    async def make_ready(self, *, migrate: bool) -> None:
        """Check the server and the database, and make or migrate it while no other process does."""
        if await server_checks.check(self.address, migrate=migrate):
            await asyncio.to_thread(run_in_loop, server_checks.upgrade, self.address)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading, of one snapshot from its first query on."""
        connection = await self._connect_reader()
        try:
            yield connection
        except (DBAPIError, TimeoutError) as error:
            raise self.explain(error, is_writing=False) from None
        finally:
            await asyncio.shield(asyncio.create_task(_give_back(connection)))

    async def _connect_reader(self) -> AsyncConnection:
        if self._reads is None:
            self._reads = make_reader_engine(self.address)
        try:
            return await self._reads.connect()
        except exc.TimeoutError:
            raise StoreBusy("the store is busy: every connection is in use", hint="try again shortly") from None
        except exc.InvalidRequestError:  # what the pool made anew was closed at once, too
            raise self.explain(ConnectionResetError(), is_writing=False) from None
        except (DBAPIError, OSError) as error:
            raise self.explain(error, is_writing=False) from None

    async def scan(self, work: Callable[[Connection], T]) -> T:
        """Run long reading in a thread with an event loop, over a connection whose transactions the work begins."""
        return await asyncio.to_thread(run_in_loop, self._scan, work)

    def _scan(self, work: Callable[[Connection], T]) -> T:
        engine = make_scan_engine(self.address)
        try:
            connection = engine.connect()
        except (DBAPIError, OSError) as error:
            raise self.explain(error, is_writing=False) from None
        try:
            return work(connection)
        except DBAPIError as error:
            raise self.explain(error, is_writing=False) from None
        finally:
            connection.close()

    def free_bytes(self) -> int | None:
        """None: when the server's disk is full, it says so."""
        return None

    def identity(self) -> object:
        """None: which files it works with is the server's own affair."""
        return None

    def process_lock(self, process_id: str) -> ServerProcessLock:
        """What shows others that this process lives."""
        return ServerProcessLock(self.address, process_id)

    def exclusive(self, purpose: str) -> AbstractAsyncContextManager[bool]:
        """Have a lock of a purpose, if it is free."""
        return hold_if_free(self.address, purpose)

    async def close(self) -> None:
        """Close what reads."""
        await self.version_reader.aclose()
        if self._reads is not None:
            reads, self._reads = self._reads, None
            await reads.dispose()

    def discard(self) -> None:
        """Nothing: what a check connects, it closes."""


async def _give_back(connection: AsyncConnection) -> None:
    """Give it back to its pool: what was read stays true where the server ends the session just then."""
    with suppress(DBAPIError, OSError):
        await connection.close()


def _lock_head(driver: DriverConnection) -> TransactionStart:
    """Lock the head's row, or where there is none all of a store that is still to be made."""
    rows = driver.fetch(_LOCK_HEAD)
    if not rows:
        driver.execute(_LOCK_EMPTY)
        rows = driver.fetch(_LOCK_HEAD) or driver.fetch(_READ_CLOCK)
    now, *head = rows[0]
    return TransactionStart(int(now), tuple(head) if len(rows) == 1 and head else None)

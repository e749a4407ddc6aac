"""The two places of a move: each is opened for this process alone, and says in one sentence what stands in the way."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from orgserver.model.errors import StoreBusy, StoreError
from orgserver.store.engines.address import FileAddress, ServerAddress, StoreAddress
from orgserver.store.engines.open_engine import require_driver
from orgserver.store.engines.sqlite_connections import make_scan_engine, make_writer_engine
from orgserver.store.files import prepare_file
from orgserver.store.processes.lock_holders import Patience, find_users_in_sqlite
from orgserver.store.processes.locks import hold_lock

_PATIENCE = Patience(seconds=5.0)
_ENDING_SECONDS = 2.0
"""A server notices the end of a session a moment after its client."""
_LOOK_SECONDS = 0.1
_BUSY_SECONDS = 1.0
_LOCK_TIMEOUT = "10s"
_SESSIONS = text(
    "SELECT pid, host(client_addr) AS host FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name LIKE 'orgserver%' AND pid <> pg_backend_pid() ORDER BY pid"
)
_HINT = "stop the servers and commands that use it, then run this again"


@dataclass(frozen=True, slots=True)
class Place:
    """A database of a move, open for this process alone."""

    address: StoreAddress
    connection: Connection

    @property
    def is_server(self) -> bool:
        """Whether it lies on a server."""
        return isinstance(self.address, ServerAddress)

    @contextmanager
    def using(self) -> Iterator[Connection]:
        """The connection, in whatever transaction it is; StoreError where the database refuses."""
        try:
            yield self.connection
        except (DBAPIError, OSError) as error:
            raise explain(error, self.address) from None

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """A transaction of its own, durable after the block; StoreError where the database refuses."""
        with self.using() as connection:
            connection.rollback()  # of what was only read
            with connection.begin():
                yield connection

    def table_names(self) -> set[str]:
        """The tables that are there."""
        with self.using() as connection:
            if not self.is_server:
                return set(inspect(connection).get_table_names())
            from orgserver.store.engines.server_checks import TABLES  # noqa: PLC0415  # nothing of it for a file

            return set(connection.execute(text(TABLES)).scalars())


def explain(error: DBAPIError | OSError, address: StoreAddress) -> StoreError:
    """What is said where a database refuses; of a server never its own words, which may hold values."""
    if isinstance(address, ServerAddress):
        from orgserver.store.engines import server_errors  # noqa: PLC0415  # nothing of it for a SQLite file

        return server_errors.explain(error, str(address))
    reason = error.orig if isinstance(error, DBAPIError) else error.strerror
    if "locked" in str(reason):
        users = [f"process {pid}" for pid in find_users_in_sqlite(address.file)] or ["another process"]
        return StoreBusy(f"the store {address} is in use by {' and '.join(users)}", hint=_HINT)
    return StoreError(f"{address} cannot be used: {reason}", hint="check the file, and free disk space")


@contextmanager
def open_source(address: StoreAddress) -> Iterator[Place]:
    """Open the store that is moved: nobody else has it open, and nobody writes to it until the end of the block.

    All of it is in one transaction, which is taken back if the block does not commit it. StoreError where others live.
    """
    if isinstance(address, FileAddress) and not address.file.exists():
        raise StoreError(f"there is no store at {address}", hint="set ORGSERVER_HOME, or ORGSERVER_DATABASE_URL")
    opening = _open_file_alone(address.file) if isinstance(address, FileAddress) else _open_database(address)
    with opening as place:
        if place.is_server:
            _refuse_living(place)
        yield place


@contextmanager
def _open_file_alone(file: Path) -> Iterator[Place]:
    address = FileAddress(file)
    with hold_lock(file, _PATIENCE), _connect(address, _make_exclusive_engine(file)) as place:
        with place.using() as connection:
            connection.begin()
        yield place


def _make_exclusive_engine(file: Path) -> Engine:
    """SQLite gives a database to one connection alone only while no other has it open, whether or not it reads."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
        for pragma in ("locking_mode = EXCLUSIVE", "synchronous = FULL", "trusted_schema = OFF", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "begin", partial(Connection.exec_driver_sql, statement="BEGIN EXCLUSIVE"))
    return engine


def _open_database(address: ServerAddress) -> AbstractContextManager[Place]:
    return _connect(address, make_engine(address))


def _refuse_living(place: Place) -> None:
    """Refuse while other processes have sessions; who comes later cannot write, once ``read_source`` has the head."""
    until = time.monotonic() + _ENDING_SECONDS
    while True:
        with place.using() as connection:
            rows = connection.execute(_SESSIONS).all()
        if not rows:
            break
        if time.monotonic() > until:
            users = [f"session {row.pid}" + (f" from {row.host}" if row.host else "") for row in rows]
            raise StoreBusy(f"the store {place.address} is in use by {' and '.join(users)}", hint=_HINT)
        time.sleep(_LOOK_SECONDS)


@contextmanager
def look_at(address: StoreAddress) -> Iterator[Place | None]:
    """Open a database to see what is there, and change nothing; None for a file that is not there or is empty."""
    if isinstance(address, ServerAddress):
        with _connect(address, make_engine(address)) as place:
            yield place
        return
    try:
        is_empty = not address.file.stat().st_size
    except FileNotFoundError:
        is_empty = True
    except OSError as error:
        raise explain(error, address) from None
    if is_empty:
        yield None
        return
    with hold_lock(address.file, _PATIENCE), _connect(address, make_scan_engine(address.file)) as place:
        yield place


@contextmanager
def open_target(address: StoreAddress) -> Iterator[Place]:
    """Open the database that the store moves to; of a file, one that is there or is made now."""
    if isinstance(address, ServerAddress):
        with _connect(address, make_engine(address)) as place:
            yield place
        return
    prepare_file(address.file)
    with hold_lock(address.file, _PATIENCE), _connect(address, make_engine(address)) as place:
        yield place


def make_engine(address: StoreAddress) -> Engine:
    """What changes a database, each statement for as long as it takes; for a server within ``run_in_loop``."""
    if isinstance(address, FileAddress):
        return make_writer_engine(address.file)
    require_driver()
    from orgserver.store.engines.server_connections import make_migration_engine  # noqa: PLC0415  # as above

    return make_migration_engine(address, _LOCK_TIMEOUT)


def scan(address: StoreAddress, work: Callable[[Connection], None]) -> None:
    """Run long reading over a connection whose transactions the work begins itself."""
    if isinstance(address, FileAddress):
        engine = make_scan_engine(address.file)
    else:
        from orgserver.store.engines.server_connections import make_scan_engine as make_server_engine  # noqa: PLC0415

        engine = make_server_engine(address)
    with _connect(address, engine) as place, place.using() as connection:
        work(connection)


@contextmanager
def _connect(address: StoreAddress, engine: Engine) -> Iterator[Place]:
    try:
        connection = engine.connect()
    except (DBAPIError, OSError) as error:
        raise explain(error, address) from None
    try:
        yield Place(address, connection)
    finally:
        connection.close()
        engine.dispose()

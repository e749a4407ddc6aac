"""How connections to SQLite are made.

One connection is the writer's, one each has a long scan, some serve short reads, and one reads a single number.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_BUSY_SECONDS = 1.5
"""For locks of SQLite's own: other orgserver processes are kept away by the lock file."""
BEGIN = "BEGIN IMMEDIATE"
"""Begins a transaction that writes: it has the right to from its beginning."""
_BEGIN_DEFERRED = partial(Connection.exec_driver_sql, statement="BEGIN")


def _url(driver: str, file: Path) -> URL:
    """A path as a value, never as text of a URL: there ``%``, ``?`` and ``#`` mean something else."""
    return URL.create(driver, database=str(file))


def make_writer_engine(file: Path) -> Engine:
    """The writer's: each transaction takes the right to write at its beginning, and is durable at its end."""
    engine = create_engine(
        _url("sqlite+pysqlite", file),
        poolclass=NullPool,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False, "cached_statements": 256},
    )
    event.listen(engine, "connect", _prepare_writer)
    event.listen(engine, "begin", _begin_writing)
    return engine


def _begin_writing(connection: Connection) -> None:
    """Begin, unless the driver's connection has begun already (``transaction.DriverConnection``)."""
    driver: Any = connection.connection.dbapi_connection
    if not driver.in_transaction:
        connection.exec_driver_sql(BEGIN)


def make_scan_engine(file: Path) -> Engine:
    """For a thread that reads for long."""
    engine = create_engine(
        _url("sqlite+pysqlite", file),
        poolclass=NullPool,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_reader)
    event.listen(engine, "begin", _BEGIN_DEFERRED)
    return engine


def make_reader_engine(file: Path) -> AsyncEngine:
    """For short reads from the event loop."""
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  # not on the path of a tool call

    engine = create_async_engine(
        _url("sqlite+aiosqlite", file),
        pool_size=4,
        max_overflow=0,  # every connection lives until close(), which happens under the lock
        connect_args={"timeout": _BUSY_SECONDS},
    )
    event.listen(engine.sync_engine, "connect", _prepare_reader)
    event.listen(engine.sync_engine, "begin", _BEGIN_DEFERRED)
    return engine


def connect_reader(file: Path) -> sqlite3.Connection:
    """For single rows, past SQLAlchemy and without a thread; it waits for no lock."""
    connection = sqlite3.connect(str(file), timeout=0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _prepare_writer(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1_000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA trusted_schema = OFF")
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _prepare_reader(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1_000}")
    cursor.execute("PRAGMA query_only = ON")
    cursor.execute("PRAGMA trusted_schema = OFF")
    cursor.close()

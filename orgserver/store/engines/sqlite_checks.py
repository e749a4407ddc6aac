"""What is checked of a SQLite file before it is used, and how it gets the newest schema."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreError
from orgserver.store.engines import schema
from orgserver.store.engines.schema import OLDEST_READER_QUERY, is_newer, is_readable, needs_upgrade
from orgserver.store.files import APPLICATION_ID, checking_briefly
from orgserver.store.processes.locks import hold_lock

T = TypeVar("T")


def check(connection: Connection, file: Path, *, migrate: bool) -> None:
    """Check that a file is a store of ours, whole and of the newest schema, or make it so; StoreError if not."""
    version = _schema_of(connection, file)
    oldest_reader = connection.execute(text(OLDEST_READER_QUERY)).scalar() if is_newer(version) else None
    if not needs_upgrade(version, str(file), migrate=migrate, oldest_reader=oldest_reader):
        _quick_check(connection, file)
        return
    from orgserver.store.migration import upgrade  # noqa: PLC0415  # Alembic is slow to import and seldom needed

    connection.rollback()
    upgrade(connection)


def _schema_of(connection: Connection, file: Path) -> str | None:
    tables = set(connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
    if not tables:
        return None
    schema.refuse_unfinished(tables, str(file))
    if schema.HEAD_OF_MOVED in tables:
        raise schema.moved_away(str(file), connection.execute(text(schema.MOVED_TO)).scalar())
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


def unusable(file: Path, error: DBAPIError) -> StoreError:
    """What is said of a file that SQLite does not open."""
    reason, hint = str(error.orig), "check the folder's permissions and free disk space"
    if "not a database" in reason or "malformed" in reason:
        return StoreError(f"{file} is damaged or no SQLite database", hint="restore it from a backup, or move it away")
    return StoreError(f"the store {file} cannot be used: {reason}", hint=hint)


async def run_detached(step: Callable[..., T], *arguments: Any) -> T:
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


def look_up_schema(database: Path) -> tuple[str | None, bool]:
    """Look at a database without changing, migrating or making it; None where it is no store of ours.

    And whether a newer schema lets this version go on with it.

    Raises sqlite3.Error if it is damaged or no database, StoreBusy if another process holds it for long.
    """
    with hold_lock(database):  # the last connection to close writes the WAL back
        return _read_schema(database)


def _read_schema(database: Path) -> tuple[str | None, bool]:
    ours = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        connection.execute("PRAGMA query_only = ON")
        if connection.execute(ours).fetchone() is None:
            return None, False
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        version = str(row[0]) if row else None
        oldest = connection.execute(OLDEST_READER_QUERY).fetchone() if is_newer(version) else None
    return version, is_readable(oldest[0] if oldest else None)

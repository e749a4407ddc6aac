"""What is SQLite's own: the store's file and folder, where they may not lie, and how connections are made.

One connection is the writer's, one each has a long scan, and some serve short reads.
"""

from __future__ import annotations

import os
import re
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from orgserver.model.errors import StoreError
from orgserver.private_files import create, sync_folder

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "9p", "ceph", "glusterfs"}
)
FREE_FLOOR = 64 * 1024 * 1024
"""New acts are refused below this much free space, so that outcomes still fit."""
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How the kernel writes spaces, tabs, line ends and backslashes of paths there."""
_BUSY_SECONDS = 1.5
"""For locks of SQLite's own: other orgserver processes are kept away by the lock file."""
BEGIN = "BEGIN IMMEDIATE"
"""Begins a transaction that writes: it has the right to from its beginning."""
_BEGIN_DEFERRED = partial(Connection.exec_driver_sql, statement="BEGIN")


def prepare_file(file: Path) -> None:
    """Make the folder (0700) and an empty database file (0600) where there are none, under names that are durable.

    Raises StoreError. Must run before SQLite opens the file: closing a descriptor of it drops SQLite's locks.
    """
    folder = file.parent
    try:
        new_folders = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.is_symlink():
            raise StoreError(f"{file} is a symbolic link", hint="name the database file itself")
        _refuse_network(folder)
        if not file.exists():
            create(file).close()
            for each in (folder, *(each.parent for each in new_folders)):
                sync_folder(each)
        elif os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
            file.chmod(0o600)
        if not os.access(file, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK):
            raise PermissionError(13, "permission denied")
    except FileExistsError:
        return  # another process made it just now
    except OSError as error:
        raise StoreError(
            f"the store {file} cannot be used: {(error.strerror or type(error).__name__).lower()}",
            hint="check the folder's permissions and free space, or set ORGSERVER_HOME to another folder",
        ) from None


def _refuse_network(folder: Path) -> None:
    kind = find_file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{folder} lies on a network file system ({kind}), where SQLite's locks do not hold",
            hint="set ORGSERVER_HOME to a folder on a local disk",
        )


def find_file_system(folder: Path) -> str | None:
    """The type of the file system a folder lies on; None where the platform does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8")
    except OSError:
        return None
    path = str(folder.resolve())
    best, kind = -1, None
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), mount.split()[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), source.split()[0]
    return kind


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

"""The file of a backup that is to be restored: whether it is one, whole and undamaged, and its contents copied."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from orgserver.model.errors import StoreError
from orgserver.store import tables
from orgserver.store.backup import staging
from orgserver.store.files import APPLICATION_ID, OLDER_SCHEMAS, SCHEMA

_ANOTHER = "copy it here once more, or name another backup"


@dataclass(frozen=True, slots=True)
class BackupSource:
    """A backup that is put in."""

    made_at: int
    is_marked: bool


def take_file(file: Path, staging_file: Path) -> BackupSource:
    """Copy a backup as it is, if it is one of ours and undamaged."""
    if not file.is_file():
        raise StoreError(f"there is no backup at {file}")
    _refuse_cut_off(file)
    with staging.explain_errors(f"{file} could not be copied to {staging_file.parent}"):
        with _open_source(file) as connection:
            mark = _mark_of(connection, file)
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)  # noqa: S101  # the engine has no other driver
            with closing(sqlite3.connect(staging_file)) as copy:
                raw.backup(copy)
        with staging.open_private(staging_file) as connection:
            refuse_damaged(connection, str(file))
    return BackupSource(mark if mark is not None else int(file.stat().st_mtime * 1_000_000), mark is not None)


def _header_of(file: Path) -> bytes:
    """The first bytes of a SQLite database; empty if the file is none (https://sqlite.org/fileformat2.html)."""
    try:
        with file.open("rb") as backup_file:
            header = backup_file.read(100)
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {(error.strerror or type(error).__name__).lower()}") from None
    return header if header.startswith(b"SQLite format 3\0") else b""


def _refuse_cut_off(file: Path) -> None:
    """The header says how many pages there are; SQLite itself does not always look."""
    header = _header_of(file)
    page, pages = (int.from_bytes(header[start : start + length]) for start, length in ((16, 2), (28, 4)))
    if header and file.stat().st_size < max(100, pages * (page if page > 1 else 65_536)):
        raise StoreError(f"{file} is cut off: its end is missing", hint=_ANOTHER)


@contextmanager
def _open_source(file: Path) -> Iterator[Connection]:
    """Read a backup without leaving a trace beside it, unless somebody copied a store's WAL with it."""
    alone = not file.with_name(file.name + "-wal").exists()
    uri = f"{file.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    engine = create_engine("sqlite+pysqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def _mark_of(connection: Connection, file: Path) -> int | None:
    foreign = StoreError(f"{file} is no backup of an orgserver store", hint="name a file that orgserver backup made")
    try:
        application = connection.execute(text("PRAGMA application_id")).scalar_one()
        present = set(inspect(connection).get_table_names())
    except DBAPIError as error:
        damage = StoreError(f"{file} is damaged: {error.orig}", hint=_ANOTHER)
        raise (damage if _header_of(file) else foreign) from error
    if application != APPLICATION_ID or not {"alembic_version", "store"} <= present:
        raise foreign
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if version not in {SCHEMA, *OLDER_SCHEMAS}:
        raise StoreError(
            f"{file} was made by a newer orgserver (schema {version}, this one knows {SCHEMA})", hint="update orgserver"
        )
    if connection.execute(select(tables.store.c.store_id)).first() is None:
        raise foreign
    if not any(column["name"] == "copied_at" for column in inspect(connection).get_columns("store")):
        return None
    mark: int | None = connection.execute(select(tables.store.c.copied_at)).scalar()
    return mark


def refuse_damaged(connection: Connection, name: str) -> None:
    """StoreError where SQLite itself finds damage."""
    answer = connection.execute(text("PRAGMA integrity_check(1)")).scalar()
    if answer != "ok":
        raise StoreError(f"{name} is damaged: {answer}")
    if connection.execute(text("PRAGMA foreign_key_check")).first() is not None:
        raise StoreError(f"{name} is damaged: a row refers to one that is gone")

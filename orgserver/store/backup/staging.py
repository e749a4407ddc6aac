"""Staging files: a copy of the store is made where nobody sees it, until it is whole and gets its name."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from orgserver.model.errors import StoreError
from orgserver.private_files import create, publish, staging_path

T = TypeVar("T")

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database: replayed into any file that has its name."""


@contextmanager
def open_private(file: Path) -> Iterator[Connection]:
    """A file that nobody else sees: one plain file, durable when it is done, not before."""
    engine = create_engine(URL.create("sqlite+pysqlite", database=str(file)), poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for pragma in ("journal_mode = DELETE", "journal_mode = MEMORY", "synchronous = OFF", "secure_delete = ON"):
            connection.execute(text(f"PRAGMA {pragma}"))
        yield connection


@contextmanager
def make_files(target: Path) -> Iterator[tuple[Path, Path]]:
    """Two empty files beside the target, mode 0600, gone in the end whatever happens."""
    staging_files = [staging_path(target) for _ in range(2)]
    try:
        for staging_file in staging_files:
            create(staging_file).close()
        yield staging_files[0], staging_files[1]
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{target} cannot be written: there is no folder {target.parent}") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise StoreError(f"{target} cannot be written: {reason}", hint="check the folder and its disk") from None
    finally:
        for staging_file in staging_files:
            discard(staging_file)


def discard(staging_file: Path) -> None:
    """Remove a staging file, and whatever was made beside it."""
    for ending in ("", ".lock", *BESIDE):
        with suppress(OSError):
            staging_file.with_name(staging_file.name + ending).unlink(missing_ok=True)


@contextmanager
def explain_errors(what: str) -> Iterator[None]:
    """One sentence for whatever SQLite says."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        reason: Any = error.orig if isinstance(error, DBAPIError) else error
        hint = "check the disk's free space; orgserver doctor checks the store"
        raise StoreError(f"{what}: {reason}", hint=hint) from error


def publish_copy(staging_file: Path, target: Path) -> int:
    """Bring a closed copy to the disk and give it its name, never over another file; its size in bytes."""
    try:
        publish(staging_file, target)
    except FileExistsError:
        raise name_is_taken(target) from None
    return target.stat().st_size


def name_is_taken(target: Path) -> StoreError:
    """What is said of a name that is taken."""
    return StoreError(f"{target} exists already, and is left as it is", hint="name a new file, or move that one away")


async def run_to_end(step: Callable[..., T], *arguments: Any) -> T:
    """Run a step that blocks; waited for even when the command is interrupted, so that nothing writes after the end."""
    return await wait_for_end(asyncio.to_thread(step, *arguments))


async def wait_for_end(step: Coroutine[Any, Any, T]) -> T:
    """The same of a step that runs in a thread by itself."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise

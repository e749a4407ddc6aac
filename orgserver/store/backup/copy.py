"""Backups: a copy of the store made while servers write to it, and a copy put in as the store.

A copy holds no access token, no lease, no unfinished enrolment and nobody's sign-in, and it is marked
(``store.copied_at``): the original may go on and rotate the refresh tokens, so whoever opens a copy holds each of them
back (``Store.hold_copied``).
The live file is read through SQLite alone: closing any other descriptor of it would drop SQLite's locks.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import StoreError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.private_files import staging_path
from orgserver.store import files, tables
from orgserver.store.audit.anchors import Anchors
from orgserver.store.audit.verification import Verification
from orgserver.store.backup import staging
from orgserver.store.backup.source import BackupSource, refuse_damaged, take_file
from orgserver.store.backup.staging import BESIDE
from orgserver.store.backup.strip import strip
from orgserver.store.database import Database
from orgserver.store.engines.address import FileAddress
from orgserver.store.processes.locks import PATIENCE, hold_lock, hold_lock_if_free
from orgserver.store.session import Store, open_store
from orgserver.store.transaction import to_datetime
from orgserver.vault.ring import Vault


@dataclass(frozen=True, slots=True)
class StoreCopy:
    """A copy that was made or put in, and how much is in it."""

    path: Path
    """Of a store on a server, what lies beside it."""
    made_at: datetime
    orgs: int
    events: int
    size: int
    enrolments_left_out: tuple[str, ...] = ()
    chain_problem: str | None = None
    """The first thing wrong with the audit log; the copy is kept all the same, for it is as its original: evidence."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a copy, as a check counted it."""

    orgs: int
    events: int
    chain_problem: str | None


# -- backup


async def backup(store: Store, target: Path, caller: Caller) -> StoreCopy:
    """Copy the open store into a new file, whole and verified; StoreError, and no file, if that fails.

    The audit entry is written when the copy is whole and has no name yet: no copy without its entry, at most an entry
    whose copy was lost in a crash between the two.
    """
    _refuse_target(store.database.beside, target)
    made_at = store.database.clock()
    with staging.make_files(target) as (raw, whole):
        left_out = await _take(store.database, raw, whole, made_at)
        contents = await _check_copy(whole, store)
        intent = Intent(new_id(), caller.principal.name, caller.transport, Action.EXPORT, tool="backup")
        await store.audit.record(intent, Completion(Outcome.SUCCEEDED, row_count=contents.orgs))
        size = await staging.run_to_end(staging.publish_copy, whole, target)
    return StoreCopy(
        target, to_datetime(made_at), contents.orgs, contents.events, size, left_out, contents.chain_problem
    )


def _refuse_target(database: Path, target: Path) -> None:
    beside = {database.name + suffix for suffix in (*BESIDE, ".lock")}
    if target.resolve() == database.resolve():
        raise StoreError(f"{target} is the store itself", hint="name another file for the backup")
    if target.name in beside and target.parent.resolve() == database.parent.resolve():
        raise StoreError(f"{target} would be taken for a part of the store", hint="name another file for the backup")
    if os.path.lexists(target):
        raise staging.name_is_taken(target)


async def _take(database: Database, raw: Path, whole: Path, made_at: int) -> tuple[str, ...]:
    if isinstance(database.address, FileAddress):
        return await staging.run_to_end(_copy, database.file, raw, whole, made_at)
    from orgserver.store.backup.from_server import copy_rows  # noqa: PLC0415  # nothing of it for a SQLite file

    return await staging.wait_for_end(database.scan(partial(copy_rows, database.address, raw, whole, made_at)))


def _copy(database: Path, raw: Path, whole: Path, made_at: int) -> tuple[str, ...]:
    """Copy, strip, mark and pack; the names of the unfinished enrolments that were left out."""
    with staging.explain_errors(f"the backup could not be written to {whole.parent}"):
        with closing(sqlite3.connect(raw)) as staging_file:
            _take_live(database, staging_file)
        with staging.open_private(raw) as connection:
            left_out = strip(connection, made_at)
            connection.execute(text("VACUUM INTO :file"), {"file": str(whole)})  # nothing of what was deleted remains
    return left_out


def _take_live(database: Path, staging_file: sqlite3.Connection) -> None:
    """One snapshot of the live store, all at once: a copy in steps begins anew with every commit of somebody else."""
    with hold_lock(database):
        source = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)
    try:
        source.execute("PRAGMA query_only = ON")
        source.backup(staging_file)
    finally:
        with hold_lock_if_free(database, PATIENCE):
            source.close()


def copy_to_read(database: Path, target: Path) -> None:
    """Copy a store that cannot be written, such as one on a full disk, to where it can be read; it is not to be used.

    SQLite keeps the index of a WAL in a file of its own, which a full disk has no room for: then in memory.
    """
    with hold_lock(database), closing(sqlite3.connect(target)) as copy:
        try:
            _take_all(database, copy, "NORMAL")
        except sqlite3.OperationalError:
            _take_all(database, copy, "EXCLUSIVE")


def _take_all(database: Path, copy: sqlite3.Connection, locking: str) -> None:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as source:
        source.execute(f"PRAGMA locking_mode = {locking}")
        source.execute("PRAGMA query_only = ON")
        source.backup(copy)


async def _check_copy(file: Path, store: Store) -> Contents:
    """Check a closed copy of the open store as a file of its own."""
    engine = create_engine(URL.create("sqlite+pysqlite", database=str(file)), poolclass=NullPool)

    def check() -> Contents:
        with engine.connect() as connection:
            with connection.begin():
                refuse_damaged(connection, "the copy")
            return read_contents(connection, store)

    try:
        return await staging.run_to_end(check)
    except DBAPIError as error:
        raise StoreError(f"the copy cannot be read again: {error.orig}") from error
    finally:
        engine.dispose()


# -- restore


async def restore(file: Path, target: Path, open_vault: Callable[[], Vault], caller: Caller) -> StoreCopy:
    """Put a copy in as the store, with every refresh token held back; the copy stays as it is.

    It is opened and checked under another name first. Raises StoreError or KeyProblem, and nothing is put in place.
    """
    with _place(target) as staging_file:
        source = await staging.run_to_end(take_file, file, staging_file)
        _, contents = await open_once(staging_file, open_vault, source, caller)
        size = await staging.run_to_end(staging.publish_copy, staging_file, target)
    made_at = to_datetime(source.made_at)
    return StoreCopy(target, made_at, contents.orgs, contents.events, size, (), contents.chain_problem)


@contextmanager
def _place(target: Path) -> Iterator[Path]:
    """A staging file where the store will be; what was made for it is gone in the end, unless the store is there."""
    _refuse_occupied(target)
    is_new_home = not target.parent.exists()
    staging_file = staging_path(target)
    try:
        files.prepare_file(staging_file)
        yield staging_file
    finally:
        staging.discard(staging_file)
        if is_new_home:
            with suppress(OSError):  # not empty
                target.parent.rmdir()


def _refuse_occupied(target: Path) -> None:
    if os.path.lexists(target):
        raise StoreError(
            f"there is a store at {target} already, and it is left as it is",
            hint="stop its servers and move it away, with the files beside it that have its name; then restore again",
        )
    for suffix in BESIDE:
        leftover = target.with_name(target.name + suffix)
        if os.path.lexists(leftover):  # SQLite would replay it into the restored store
            raise StoreError(f"{leftover} is left over from another store", hint="move it to where its store is now")


async def open_once(
    staging_file: Path, open_vault: Callable[[], Vault], source: BackupSource, caller: Caller
) -> tuple[Store, Contents]:
    """Open the copy once: that proves the key, brings it to our schema, and holds its refresh tokens back.

    A copy that was made by other means becomes one of ours first.
    """
    store = await open_store(staging_file, lambda _create: open_vault(), caller=caller)
    try:
        if not source.is_marked:
            await store.database.write(lambda tx: strip(tx.connection, source.made_at))
            await store.hold_copied(caller)
        return store, await store.database.scan(lambda connection: read_contents(connection, store))
    finally:
        await store.close()


# -- both


def read_contents(connection: Connection, store: Store) -> Contents:
    """Check the whole audit chain, with its sealed head, and count."""
    anchors = Anchors(store.audit.signer.verifier)
    state = Verification(store.id, store.audit.mac, store.audit.open_head, anchors)
    state.run(connection)
    with connection.begin():
        orgs = connection.execute(select(func.count()).select_from(tables.orgs)).scalar_one()
    return Contents(orgs, state.sequence, state.problem)

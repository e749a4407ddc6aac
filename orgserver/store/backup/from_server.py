"""A copy of a store on a server, in the one form that copies have: a SQLite file."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text

from orgserver.store import tables
from orgserver.store.backup import staging
from orgserver.store.backup.strip import strip
from orgserver.store.engines.address import FileAddress, StoreAddress
from orgserver.store.moving import rows
from orgserver.store.moving.places import Place
from orgserver.store.moving.search_tables import copy_tables


def copy_rows(address: StoreAddress, raw: Path, whole: Path, made_at: int, connection: Connection) -> tuple[str, ...]:
    """Copy one snapshot, strip, mark and pack; the names of the unfinished enrolments that were left out."""
    from orgserver.store.migration import upgrade  # noqa: PLC0415  # Alembic is slow to import

    with (
        staging.explain_errors(f"the backup could not be written to {whole.parent}"),
        staging.open_private(raw) as copy,
    ):
        copy.rollback()
        upgrade(copy)
        source, target = Place(address, connection), Place(FileAddress(raw), copy)
        with source.changing():  # one snapshot: nothing is changed
            rows.copy_table(source, target, tables.store, _tell_nobody)
            copy_tables(source, target, _tell_nobody)
        left_out = strip(copy, made_at)
        copy.rollback()  # which takes nothing back: each statement is for good here
        copy.execute(text("VACUUM INTO :file"), {"file": str(whole)})  # nothing of what was deleted remains
    return left_out


def _tell_nobody(_table: str, _rows: int) -> None:
    """A backup takes as long as it takes."""

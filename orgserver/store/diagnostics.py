"""What the store says of its own health: its schema before it is opened, and its figures when it is open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.store import tables
from orgserver.store.processes.locks import hold_lock


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What the open store says of itself."""

    journal_mode: str
    damage: tuple[str, ...]
    """What SQLite's own check found; nothing, as it should be."""
    pending: int
    """Acts whose outcome is not written yet."""
    overdue: int
    """Those of them that should have ended long ago."""
    events: int
    missing_events: int
    """Events of the audit log that should be there and are not; fewer than none where there are too many."""
    unfinished: tuple[str, ...]
    """Aliases of enrolments that were begun and not finished."""


_AUDIT_LOG = select(  # one statement: what is written meanwhile must not look like a gap
    tables.audit_head.c.sequence.label("written"),
    select(tables.audit_base.c.sequence).scalar_subquery().label("pruned"),
    select(func.count()).select_from(tables.audit_events).scalar_subquery().label("stored"),
)


def schema_of(database: Path) -> str | None:
    """Look at a database without changing, migrating or making it; None where it is no store of ours.

    Raises sqlite3.Error if it is damaged or no database, StoreBusy if another process holds it for long.
    """
    with hold_lock(database):  # the last connection to close writes the WAL back
        return _schema(database)


def _schema(database: Path) -> str | None:
    ours = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        connection.execute("PRAGMA query_only = ON")
        if connection.execute(ours).fetchone() is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


async def read_diagnostics(connection: AsyncConnection, late: int) -> Diagnostics:
    """Ask the open store; ``late`` is the instant before which a deadline is long past."""
    pending = tables.audit_pending
    every = select(func.count()).select_from(pending)
    lines = (await connection.execute(text("PRAGMA quick_check(5)"))).scalars().all()
    log = (await connection.execute(_AUDIT_LOG)).one()
    unfinished = await connection.execute(select(tables.enrolments.c.alias).order_by(tables.enrolments.c.alias))
    return Diagnostics(
        journal_mode=str((await connection.execute(text("PRAGMA journal_mode"))).scalar()),
        damage=tuple(str(line) for line in lines if line != "ok"),
        pending=(await connection.execute(every)).scalar_one(),
        overdue=(await connection.execute(every.where(pending.c.deadline < late))).scalar_one(),
        events=log.written,
        missing_events=log.written - (log.pruned or 0) - log.stored,
        unfinished=tuple(unfinished.scalars()),
    )

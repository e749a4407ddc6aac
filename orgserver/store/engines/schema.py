"""Which databases are opened as a store: by their schema, and not a copy that is unfinished, or a store that was moved.

The last two are seen by the names of tables alone. In a store that was moved the table of the log's head has another
name: every change begins with that row, so that no process which was cut off from its server goes on there.
"""

from __future__ import annotations

from collections.abc import Collection

from orgserver.model.errors import StoreError
from orgserver.store.files import OLDER_SCHEMAS, SCHEMA

UNFINISHED = "unfinished_copy"
"""The table of what is copied into this database; there until the copy is a store."""
HEAD, HEAD_OF_MOVED = "audit_head", "audit_head_moved"
MOVED_TO = "SELECT moved_to FROM store"
"""Asked of a database that has ``HEAD_OF_MOVED``."""
OLDEST_READER_QUERY = "SELECT oldest_reader FROM store"
"""For a store of a newer schema: which is the oldest whose programs may go on with it."""


def is_newer(version: str | None) -> bool:
    """Whether a schema is one that this version does not know."""
    return version is not None and version != SCHEMA and version not in OLDER_SCHEMAS


def is_readable(oldest_reader: str | None) -> bool:
    """Whether this version may go on with a store of a newer schema, which only adds to what it knows."""
    return oldest_reader is not None and oldest_reader <= SCHEMA


def needs_upgrade(version: str | None, store: str, *, migrate: bool, oldest_reader: str | None = None) -> bool:
    """Whether a store of this schema must be migrated; None is one that holds nothing yet.

    StoreError for a newer schema that says that this version may not read it, and for an older one where nobody asked
    to migrate.
    """
    if version == SCHEMA:
        return False
    if is_newer(version):
        if is_readable(oldest_reader):
            return False
        raise StoreError(
            f"the store {store} was written by a newer orgserver (schema {version}, this one knows {SCHEMA})",
            hint="update orgserver, or use the store's own version",
        )
    if version is not None and not migrate:
        raise StoreError(f"the store has schema {version}; {SCHEMA} is needed", hint="run: orgserver migrate")
    return True


def write_moved_to(copy_id: str, place: str) -> str:
    """What ``store.moved_to`` says: which copy the store is now, and where that is."""
    return f"{copy_id} {place}"


def read_moved_to(moved_to: str) -> tuple[str, str]:
    """The copy, and its place."""
    copy_id, _, place = moved_to.partition(" ")
    return copy_id, place


def refuse_unfinished(tables: Collection[str], name: str) -> None:
    """StoreError for a copy that is not finished."""
    if UNFINISHED in tables:
        raise StoreError(
            f"the store {name} is a copy that is not finished",
            hint="run orgserver store copy again where it comes from, or restore its backup again: it goes on",
        )


def moved_away(name: str, moved_to: str | None) -> StoreError:
    """What is said of a store that was moved."""
    place = read_moved_to(moved_to or "")[1] or "another place"
    return StoreError(
        f"the store {name} was moved to {place}, and is not used here any more",
        hint="set ORGSERVER_DATABASE_URL to that place",
    )

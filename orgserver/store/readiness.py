"""Whether a store would open: seen from outside, before anything that opens one is imported.

What a start refuses is refused by those who open the store, in their words. This only tells that they will not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from orgserver.model.errors import OrgserverError
from orgserver.private_files import lock_file_if_free
from orgserver.store.files import APPLICATION_ID, SCHEMA, checking_briefly, lock_path, open_to_read, prepare_file
from orgserver.vault.keys import Context
from orgserver.vault.ring import RingBehind, Vault

CANARY = b"orgserver canary"
"""What every store seals under its master key, to know it again."""


def canary_context(store_id: str) -> Context:
    """Where the canary belongs."""
    return Context(store_id, "store", "canary")


def is_ready(
    database: Path, open_vault: Callable[[], Vault], aliases: Collection[str], principal: str | None = None
) -> bool:
    """Whether a store is there, of the newest schema, whole, nobody's at this moment, opened by the key, with the orgs.

    And with the principal, if one is named, whose grants go on. False also where that is not to be told from here.
    """
    try:
        if not database.is_file():
            return False
        prepare_file(database)
        with _hold_still(database), open_to_read(database) as connection:
            return (
                _is_whole(connection)
                and _is_opened_by(connection, open_vault())
                and _has(connection, aliases)
                and (principal is None or _may_call(connection, principal))
            )
    except (OrgserverError, RingBehind, OSError, sqlite3.Error, ValueError):
        return False


@contextmanager
def _hold_still(database: Path) -> Iterator[None]:
    """Keep writers away; BlockingIOError while one is at work."""
    with lock_path(database).open("r+b") as lock:
        if not lock_file_if_free(lock, shared=True):
            raise BlockingIOError
        yield


def _is_whole(connection: sqlite3.Connection) -> bool:
    """What opening a store checks of the file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        return False
    if connection.execute("SELECT version_num FROM alembic_version").fetchall() != [(SCHEMA,)]:
        return False
    try:
        with checking_briefly(connection):
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        return str(answer) == "ok"
    except sqlite3.OperationalError as error:
        return "interrupted" in str(error)


def _is_opened_by(connection: sqlite3.Connection, vault: Vault) -> bool:
    """Whether the key ring opens the canary and what belongs to the store itself; a copy is for others to look at."""
    query = "SELECT store_id, copied_at, canary, store_key, audit_key, signing_key FROM store"
    row = connection.execute(query).fetchone()
    if row is None:
        return False
    store_id, copied_at, canary, *wrapped = row
    if copied_at is not None or None in wrapped:
        return False
    for key, purpose in zip(wrapped, ("store", "audit", "signing"), strict=True):
        vault.data_key(key, store_id, purpose)
    return vault.open(canary, canary_context(store_id)) == CANARY


def _has(connection: sqlite3.Connection, aliases: Collection[str]) -> bool:
    """Whether each of these orgs is registered."""
    return set(aliases) <= {alias for (alias,) in connection.execute("SELECT alias FROM orgs")}


def _may_call(connection: sqlite3.Connection, principal: str) -> bool:
    """Whether a principal is there and enabled, and no grant of it has an end."""
    row = connection.execute("SELECT enabled FROM principals WHERE name = ?", (principal,)).fetchone()
    if row is None or not row[0]:
        return False
    # No text of anybody's is in these.
    by_hand = 'SELECT "group" FROM group_members WHERE principal = :name'
    groups = f'{by_hand} UNION ALL SELECT "group" FROM claim_members WHERE principal = :name'  # noqa: S608  # as above
    ending = f'SELECT 1 FROM grants WHERE until IS NOT NULL AND (principal = :name OR "group" IN ({groups}))'  # noqa: S608  # as above
    return connection.execute(ending, {"name": principal}).fetchone() is None

"""The number that grows with each change of orgs, principals, grants, keys and policies, so that they are read anew."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import dialect

from orgserver.store import sqlite, tables
from orgserver.store.transaction import PreparedStatement, Transaction

_VERSION = PreparedStatement(select(tables.store.c.catalog_version))
_DIALECT = dialect()


def changed_in(tx: Transaction) -> None:
    """Let every process notice that orgs, principals, grants, keys or policies are others now."""
    tx.connection.execute(update(tables.store).values(catalog_version=tables.store.c.catalog_version + 1))


class VersionReader:
    """Reads the number in the thread that asks, at each request over HTTP: one row, which SQLite has in memory.

    A reader waits for no writer, and this one not for SQLite's own locks either.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._of_turn: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return self._connection is not None

    def open(self) -> None:
        """Connect; sqlite3.Error where that fails. Not for the event loop's thread."""
        if self._connection is None:
            _VERSION.bind(_DIALECT, ())
            self._connection = sqlite.connect_reader(self._file)

    def read(self) -> int | None:
        """The number as it is now; None where it must be asked for in another way: not opened, or SQLite is busy."""
        rows = self.fetch(_VERSION)
        return int(rows[0][0]) if rows else None

    def fetch(self, query: PreparedStatement, **values: Any) -> list[Any] | None:
        """The few rows of another query, as plain tuples; None where they must be asked for in another way."""
        if self._connection is None:
            return None
        try:
            return self._connection.execute(*query.bind(_DIALECT, (values,) if values else ())).fetchall()
        except sqlite3.Error:
            return None

    def read_of_turn(self) -> int | None:
        """The number as it was in this turn of the event loop, read once for all who ask in it; None as above.

        Whoever was woken before it was read asks for nothing later, and whoever is woken afterwards comes behind what
        forgets it. So this is for tasks, and not for what a transport calls in the midst of a turn.
        """
        if self._of_turn is None:
            self._of_turn = self.read()
            if self._of_turn is not None:
                asyncio.get_running_loop().call_soon(self._forget)
        return self._of_turn

    def _forget(self) -> None:
        self._of_turn = None

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

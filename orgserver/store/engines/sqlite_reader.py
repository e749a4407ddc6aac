"""Reads single rows of a SQLite file in the thread that asks: SQLite has them in memory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.sqlite import dialect

from orgserver.model.errors import StoreError
from orgserver.store.catalog_version import VERSION
from orgserver.store.engines import sqlite_connections
from orgserver.store.transaction import PreparedStatement

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_DIALECT = dialect()


class SqliteReader:
    """A reader waits for no writer, and this one not for SQLite's own locks either."""

    def __init__(self, file: Path, reading: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        self._file = file
        self._reading = reading
        self._connection: sqlite3.Connection | None = None
        self._of_turn: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return self._connection is not None

    def open(self) -> None:
        """Connect; sqlite3.Error where that fails. Not for the event loop's thread."""
        if self._connection is None:
            VERSION.bind(_DIALECT, ())
            self._connection = sqlite_connections.connect_reader(self._file)

    def read(self) -> int | None:
        """The number as it is now; None where it must be asked for: not opened, or SQLite is busy."""
        rows = self.fetch(VERSION)
        return int(rows[0][0]) if rows else None

    def fetch(self, query: PreparedStatement, **values: Any) -> list[Any] | None:
        """The few rows of another query, as plain tuples; None as above."""
        if self._connection is None:
            return None
        try:
            return self._connection.execute(*query.bind(_DIALECT, (values,) if values else ())).fetchall()
        except sqlite3.Error:
            return None

    def read_of_turn(self) -> int | None:
        """The number as it was in this turn of the event loop; None as above."""
        if self._of_turn is None:
            self._of_turn = self.read()
            if self._of_turn is not None:
                asyncio.get_running_loop().call_soon(self._forget)
        return self._of_turn

    def _forget(self) -> None:
        self._of_turn = None

    async def ask_version(self) -> int:
        """The number; it connects first where it is not connected."""
        return int((await self.ask(VERSION))[0][0])

    async def ask(self, query: PreparedStatement, **values: Any) -> list[Any]:
        """The few rows of another query, also where this connection is kept waiting."""
        try:
            await asyncio.to_thread(self.open)
        except sqlite3.Error as error:
            raise StoreError(f"the store cannot be read: {error}") from error
        rows = self.fetch(query, **values)
        if rows is not None:
            return rows
        async with self._reading() as connection:
            return list(await connection.execute(query.statement, values))

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

"""A change's transaction, prepared statements for it, and times as its rows have them: microseconds since 1970 UTC."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Transaction:
    """One group's transaction: its connection, and the one instant of all its rows."""

    connection: Connection
    now: int
    """Microseconds since 1970 UTC."""
    before_commit: list[Callable[[], None]] = field(default_factory=list)
    """Run once, in order, when every change of the group has run."""
    state: dict[str, Any] = field(default_factory=dict)
    """What changes of one group keep between them, such as the head of the audit chain."""


Change = Callable[[Transaction], T]
"""Runs in a transaction, in the writer's thread."""


class PreparedStatement:
    """A statement compiled once for its dialect: on the path of every call, SQLAlchemy's own work is the dearer part.

    It is built from the same expressions as any other statement, and runs on the same connection.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._sql: str | None = None
        self._names: tuple[str, ...] = ()

    def run(self, connection: Connection, *rows: dict[str, Any]) -> CursorResult[Any]:
        """Run it with values by name, once or for many rows."""
        sql, values = self._compile(connection, rows)
        return connection.exec_driver_sql(sql, values[0] if len(values) == 1 else values or None)

    def run_bare(self, connection: Connection, *rows: dict[str, Any]) -> DBAPICursor:
        """Run it as ``run`` does, with the driver's own cursor: a fifth of the work, for what every call does."""
        sql, values = self._compile(connection, rows)
        cursor = connection.connection.cursor()
        driver: Any = connection.dialect.dbapi
        try:
            if len(values) > 1:
                cursor.executemany(sql, values)
            else:
                cursor.execute(sql, values[0] if values else ())
        except driver.Error as error:
            raise DBAPIError.instance(sql, None, error, driver.Error, hide_parameters=True) from error
        return cursor

    def _compile(self, connection: Connection, rows: tuple[dict[str, Any], ...]) -> tuple[str, list[tuple[Any, ...]]]:
        if self._sql is None:
            statement = self._statement.compile(dialect=connection.dialect)  # type: ignore[attr-defined]
            self._names = tuple(statement.positiontup or ())
            self._sql = str(statement)
        return self._sql, [tuple(map(row.__getitem__, self._names)) for row in rows]


def read_clock() -> int:
    """The present instant as the store writes it."""
    return time.time_ns() // 1_000


def to_datetime(microseconds: int) -> datetime:
    """A time of the store as an aware datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(instant: datetime) -> int:
    """An aware datetime as the store writes it."""
    return (instant - _EPOCH) // timedelta(microseconds=1)

"""A change's transaction, prepared statements for it, and times as its rows have them: microseconds since 1970 UTC."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, CursorResult, Dialect, Executable
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DriverConnection:
    """A connection of SQLAlchemy's, and the driver's own beneath it: what either runs is in one transaction.

    What every call writes goes past SQLAlchemy, whose own work on it would be the dearer part.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._driver: Any = connection.connection.dbapi_connection
        self._error: type[Exception] = connection.dialect.loaded_dbapi.Error

    def commit(self) -> None:
        """Make what was run durable; DBAPIError if it is not."""
        if self.connection.in_transaction():
            self.connection.commit()
            return
        try:
            self._driver.commit()
        except self._error as error:
            raise self._wrapped("COMMIT", error) from error

    def rollback(self) -> None:
        """Take back what was run."""
        if self.connection.in_transaction():
            self.connection.rollback()
            return
        try:
            self._driver.rollback()
        except self._error as error:
            raise self._wrapped("ROLLBACK", error) from error

    def execute(self, sql: str, *rows: Any) -> int:
        """Run a statement with the driver's own cursor, once or for many rows; how many it changed."""
        cursor: DBAPICursor = self._driver.cursor()
        try:
            if len(rows) > 1:
                cursor.executemany(sql, rows)
            else:
                cursor.execute(sql, rows[0] if rows else ())
        except self._error as error:
            raise self._wrapped(sql, error) from error
        return cursor.rowcount

    def fetch(self, sql: str, *row: Any) -> list[Any]:
        """Run a query with the driver's own cursor; plain tuples."""
        cursor: DBAPICursor = self._driver.cursor()
        try:
            cursor.execute(sql, row[0] if row else ())
            return list(cursor.fetchall())
        except self._error as error:
            raise self._wrapped(sql, error) from error

    def _wrapped(self, sql: str, error: Exception) -> BaseException:
        return DBAPIError.instance(sql, None, error, self._error, hide_parameters=True)


class TransactionStart(NamedTuple):
    """How a transaction that writes began."""

    now: int
    """The one instant of all its rows, in microseconds since 1970 UTC."""
    head: tuple[int, bytes, bytes] | None = None
    """The audit chain's sequence, hash and sealed head, where the lock showed them."""


class GroupConflict(Exception):
    """What was done for a whole group at once did not come out for each of its changes: it runs again, carefully."""


@dataclass(slots=True)
class Transaction:
    """One group's transaction: its connection, and the one instant of all its rows."""

    driver: DriverConnection
    now: int
    """Microseconds since 1970 UTC."""
    before_commit: list[Callable[[Transaction], None]] = field(default_factory=list)
    """Run once with this, in order, when every change of the group has run; bound to it they would be a circle."""
    after_commit: list[Callable[[], None]] = field(default_factory=list)
    """Run once the group is durable, and never if it is not; none of them fails."""
    state: dict[str, Any] = field(default_factory=dict)
    """What changes of one group keep between them, such as the head of the audit chain."""
    is_careful: bool = True
    """Each change sees at once what it did. Otherwise some is done for all at the end, or ``GroupConflict`` raised."""
    appended: tuple[int, bytes] | None = None
    """Sequence and hash of the last event that the group appended to the audit chain."""
    start_head: tuple[int, bytes, bytes] | None = None
    """What ``TransactionStart`` says of the head; true until the group itself moves it."""
    catalog_version: int | None = None
    """As this group has read or left it; None: it must be read."""
    assumed_version: int | None = None
    """That by which changes of this group were allowed, where its last statement is to say whether it is still so."""
    is_committing: bool = False
    """All has run, and whether it is durable is the database's to say."""

    @property
    def connection(self) -> Connection:
        """Runs any statement of SQLAlchemy's."""
        return self.driver.connection

    def execute(self, statement: PreparedStatement, *rows: dict[str, Any]) -> int:
        """Run a prepared statement past SQLAlchemy, once or for many rows of values by name; how many it changed."""
        return self.driver.execute(*statement.bind(self.driver.connection.dialect, rows))

    def fetch(self, query: PreparedStatement, **values: Any) -> list[Any]:
        """Run a prepared query past SQLAlchemy; plain tuples."""
        return self.driver.fetch(*query.bind(self.driver.connection.dialect, (values,) if values else ()))


Change = Callable[[Transaction], T]
"""Runs in a transaction; it never waits for anything but the store."""


@contextmanager
def transact(driver: DriverConnection, begin: Callable[[DriverConnection], TransactionStart]) -> Iterator[Transaction]:
    """A block whose changes are durable after it, or taken back; ``begin`` takes the right to write."""
    start = begin(driver)  # only now is every lock ours: until here a change can be given up
    try:
        transaction = Transaction(driver, start.now, start_head=start.head)
        yield transaction
        for flush in transaction.before_commit:
            flush(transaction)
        transaction.is_committing = True
        driver.commit()
    except BaseException as error:
        _roll_back(driver, error)
        raise
    for step in transaction.after_commit:
        step()


def _roll_back(driver: DriverConnection, cause: BaseException) -> None:
    try:
        driver.rollback()
    except DBAPIError:
        if not isinstance(cause, DBAPIError):  # which otherwise tells more: a connection that is gone, say
            raise


class PreparedStatement:
    """A statement compiled once for its dialect: built from the same expressions as any other."""

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        self._compiled: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {}
        """By dialect: the text, and what makes of values by name what its driver takes."""

    def run(self, connection: Connection, *rows: dict[str, Any]) -> CursorResult[Any]:
        """Run it by SQLAlchemy with values by name, once or for many rows."""
        sql, *values = self.bind(connection.dialect, rows)
        return connection.exec_driver_sql(sql, values[0] if len(values) == 1 else values or None)

    def bind(self, dialect: Dialect, rows: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
        """The text for a dialect, and the values of each row as its driver takes them."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = self._compile(dialect)
        sql, values_of = compiled
        return sql, *map(values_of, rows)

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[dict[str, Any]], Any]]:
        statement = self.statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        names = tuple(statement.positiontup or ())
        if not names:
            return str(statement), dict
        if len(names) == 1:
            return str(statement), lambda row: (row[names[0]],)
        return str(statement), itemgetter(*names)


def read_clock() -> int:
    """The present instant as the store writes it."""
    return time.time_ns() // 1_000


def to_datetime(microseconds: int) -> datetime:
    """A time of the store as an aware datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(instant: datetime) -> int:
    """An aware datetime as the store writes it."""
    return (instant - _EPOCH) // timedelta(microseconds=1)

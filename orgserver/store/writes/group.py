"""One group of changes on its way into the store, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import OperatorError
from orgserver.store.engines.engine import StoreEngine
from orgserver.store.transaction import DriverConnection, Transaction, TransactionStart, transact
from orgserver.store.writes.pending_writes import PendingWrite
from orgserver.store.writes.writer_connection import WriterConnection

if TYPE_CHECKING:
    from orgserver.store.engines.lost_commits import CommitMark, CommitMarks

_PAUSE_SECONDS = 0.05


@dataclass(slots=True)
class Group:
    """Changes that are run in one transaction."""

    transaction: Transaction | None = None
    current: PendingWrite[Any] | None = None
    """The one that runs."""
    successes: list[PendingWrite[Any]] = field(default_factory=list)
    """Those that have run."""
    mark: CommitMark | None = None
    """What it leaves in a server's store, by which it is known to be committed."""

    def run(self, writes: list[PendingWrite[Any]], transaction: Transaction, until: float) -> None:
        """Run changes, until an instant of the monotonic clock."""
        for self.current in writes:
            self.current.result = self.current.change(transaction)
            self.successes.append(self.current)
            if time.monotonic() > until:
                break
        self.current = None

    def sign(self, transaction: Transaction, marks: CommitMarks) -> None:
        """Leave the mark."""
        self.mark = marks.mark_in(transaction)

    def end(self) -> None:
        """It was committed after all."""
        for step in self.transaction.after_commit if self.transaction is not None else ():
            step()

    @property
    def may_be_committed(self) -> bool:
        """Whether its COMMIT was sent to a server: an error of it is not yet its end."""
        return self.mark is not None and self.transaction is not None and self.transaction.is_committing


def make_marks(engine: StoreEngine) -> CommitMarks | None:
    """What tells whether a COMMIT without an answer was carried out; a file always answers."""
    if not engine.is_server:
        return None
    from orgserver.store.engines.lost_commits import CommitMarks  # noqa: PLC0415  # a file needs nothing of a server's

    return CommitMarks()


def explain(error: DBAPIError | OSError | OperatorError, engine: StoreEngine) -> OperatorError:
    """What callers are told of why nothing could be written."""
    return error if isinstance(error, OperatorError) else engine.explain(error, is_writing=True)


def look_up(
    group: Group,
    marks: CommitMarks,
    connection: WriterConnection,
    begin: Callable[[DriverConnection], TransactionStart],
    wait_on: Callable[[DBAPIError | OSError | OperatorError], bool],
) -> bool | DBAPIError | OSError | OperatorError:
    """Whether a group was committed whose COMMIT got no answer, tried until the server says so.

    Its callers hear nothing until then, or that nobody knows. The reason why it is not known, where that does not pass
    by itself, or ``wait_on``, told of it, says no.
    """
    connection.drop()
    while True:
        try:
            with transact(connection.get(), begin) as transaction:
                return group.mark is not None and marks.was_committed_in(transaction, group.mark)
        except (DBAPIError, OSError, OperatorError) as error:
            connection.drop()
            if not wait_on(error) or marks.is_final(error):
                return error
        time.sleep(max(connection.pause, _PAUSE_SECONDS))

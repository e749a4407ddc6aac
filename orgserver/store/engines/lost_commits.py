"""Whether a group was committed whose COMMIT got no answer: looked up over another connection, never run again unseen.

A group that appended to the audit chain left its last event there, whose hash is no other group's. Any other leaves
its id in this process's row of ``writers``. Not the server's own ``pg_xact_status``: after a failover its numbers are
given out again, on another history.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import OperatorError, StoreError
from orgserver.model.names import new_id
from orgserver.store import tables
from orgserver.store.engines import server_errors
from orgserver.store.transaction import DriverConnection, PreparedStatement, Transaction

_FORGET_US = 86_400_000_000
"""A process that wrote no such group for so long can no longer wait for an answer."""
_events, _writers = tables.audit_events, tables.writers
_HASH = PreparedStatement(select(_events.c.hash).where(_events.c.sequence == bindparam("sequence", type_=BigInteger)))
_BASE = PreparedStatement(select(tables.audit_base.c.sequence))
_GROUP = PreparedStatement(select(_writers.c.group_id).where(_writers.c.process_id == bindparam("process")))
_new = insert(_writers)
_SIGN = PreparedStatement(
    _new.on_conflict_do_update(
        index_elements=[_writers.c.process_id],
        set_={"group_id": _new.excluded.group_id, "at": _new.excluded.at},
    )
)
_FORGET = PreparedStatement(delete(_writers).where(_writers.c.at < bindparam("before", type_=BigInteger)))


@dataclass(frozen=True, slots=True)
class CommitMark:
    """What a group leaves if it is committed."""

    appended: tuple[int, bytes] | None
    """Sequence and hash of its last event."""
    group_id: str = ""
    """Where it appended none."""


class CommitMarks:
    """The marks of one writer's groups: each leaves one, and the last is there as long as the store is the same."""

    def __init__(self) -> None:
        self._process_id = new_id()
        self._kept: tuple[int, bytes] | None = None
        """The last event that this process has seen committed."""
        self._looked_in: DriverConnection | None = None
        self._has_signed = False

    @staticmethod
    def is_lost(error: DBAPIError | OSError) -> bool:
        """Whether the connection is gone, or there was none: what was under way in it may be done, or not."""
        return server_errors.is_lost(error)

    @staticmethod
    def is_final(error: DBAPIError | OSError | OperatorError) -> bool:
        """Whether the store will not be what it was by itself, so that nobody should wait."""
        return server_errors.is_final(error)

    def look_back_in(self, tx: Transaction) -> None:
        """Over a new connection, see that the store has what this process saw committed; StoreError if it has not.

        A standby that took over without the last commits lacks it, or a backup that was put in under running servers.
        """
        if self._looked_in is tx.driver:
            return
        if self._kept is not None and not _has(tx, *self._kept):
            raise StoreError(
                "the store went back: it lacks entries that were committed before",
                hint="the server was failed over without its last commits, or a backup was put in its place: stop every"
                " orgserver on it, run orgserver audit verify with the checkpoints, and start them again",
            )
        self._looked_in = tx.driver

    def mark_in(self, tx: Transaction) -> CommitMark:
        """Let a group leave a mark; the last step before its COMMIT."""
        if tx.appended is not None:
            return CommitMark(tx.appended)
        if not self._has_signed:
            tx.execute(_FORGET, {"before": tx.now - _FORGET_US})
        mark = CommitMark(None, new_id())
        tx.execute(_SIGN, {"process_id": self._process_id, "group_id": mark.group_id, "at": tx.now})
        return mark

    def was_committed_in(self, tx: Transaction, mark: CommitMark) -> bool:
        """Look for the mark of a group whose COMMIT got no answer.

        In a transaction that writes: to have that right is to know that the other one has ended.
        """
        if mark.appended is not None:
            return _has(tx, *mark.appended)
        return [row[0] for row in tx.fetch(_GROUP, process=self._process_id)] == [mark.group_id]

    def keep(self, mark: CommitMark) -> None:
        """A group is committed."""
        self._kept = mark.appended or self._kept
        self._has_signed = self._has_signed or mark.appended is None


def _has(tx: Transaction, sequence: int, hash_: bytes) -> bool:
    rows = tx.fetch(_HASH, sequence=sequence)
    if rows:
        return bool(rows[0][0] == hash_)
    return any(base >= sequence for (base,) in tx.fetch(_BASE))  # pruned, which only happens to what was committed

"""Commits on the event loop itself, for a caller who is alone on a disk that is quick.

The way to the writer's thread and back costs more than such a commit. What the event loop can be held up by is one
commit: as soon as one is slow, or another process has the lock, the thread commits, which may wait for as long as it
takes. The WAL is written back by the thread, too: now and then one of the changes is its own for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from orgserver.store.processes.locks import LockFile
from orgserver.store.transaction import Change, DriverConnection, TransactionStart, transact

T = TypeVar("T")

QUICK_SECONDS = 0.001
"""How long a commit may take that the event loop waits for."""
_FRESH_SECONDS = 5.0
"""How long the last commit says how quick the next will be."""
_ENOUGH = 8
"""How many commits in a row were quick, each of one change, before the event loop dares the next."""
_MOST_ENOUGH = 4_096
_AT_ONCE = 128
"""How many the event loop makes before the thread makes one, and may write the WAL back: some 1,000 pages of it."""


class QuickCommits:
    """Whether the event loop may make the next commit, by how long the last ones took, and how it makes it."""

    def __init__(self, lock: LockFile | None) -> None:
        """``lock`` keeps other processes away; without one, writers wait for each other at a server, in the thread."""
        self._lock = lock
        self.turn = threading.Lock()
        """Who works with the connection: the lock file does not keep two threads of one process apart."""
        self._in_a_row = 0
        self._enough = _ENOUGH
        self._made = 0
        """By the event loop, since the thread made the last."""
        self._last_at = 0.0
        self._without_checkpoints: DriverConnection | None = None

    def take_turn(self) -> bool:
        """Take the lock for a commit on the event loop, if that is likely to be quick; it never waits."""
        if self._lock is None or self._in_a_row < self._enough or self._made >= _AT_ONCE:
            return False
        if time.monotonic() > self._last_at + _FRESH_SECONDS or not self.turn.acquire(blocking=False):
            return False
        with suppress(OSError):  # the thread will say what is wrong with it
            if self._lock.take_now():
                return True
        self.turn.release()
        return False

    def commit(
        self, connection: DriverConnection, begin: Callable[[DriverConnection], TransactionStart], change: Change[T]
    ) -> T:
        """Commit a change in the turn that was taken, and give it back."""
        since = time.monotonic()
        try:
            if self._without_checkpoints is not connection:
                connection.execute("PRAGMA wal_autocheckpoint = 0")
                self._without_checkpoints = connection
            with transact(connection, begin) as transaction:
                return change(transaction)
        finally:
            if self._lock is not None:
                self._lock.release()
            self.turn.release()
            self._made += 1
            self._note(since)
            if not self._in_a_row:
                self._enough = min(self._enough * 4, _MOST_ENOUGH)

    def prepare(self, connection: DriverConnection) -> None:
        """Make a connection ready for a commit by the thread, which may be followed by writing the WAL back."""
        if self._without_checkpoints is connection:
            connection.execute("PRAGMA wal_autocheckpoint = 1000")
            self._without_checkpoints = None

    def note(self, begin: float, changes: int) -> None:
        """A commit of the thread's is over, in which there were so many changes."""
        if self._made >= _AT_ONCE:
            self._enough = _ENOUGH
        self._made = 0
        self._note(begin)
        if changes != 1:
            self._in_a_row = 0

    def _note(self, begin: float) -> None:
        self._last_at = time.monotonic()
        self._in_a_row = self._in_a_row + 1 if self._last_at - begin <= QUICK_SECONDS else 0

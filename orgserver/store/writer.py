"""How every change reaches the store: one thread, grouped commits, under one lock file.

Callers hand over plain functions over a ``Transaction``. Whatever waits when a commit ends goes into the next one,
so durability costs one sync per group, not per call. The lock file beside the database covers every write,
checkpoint and close of every process: it is the defence against SQLite's WAL-reset bug (fixed in 3.51.3),
and it makes waiting fair (``flock`` blocks in the kernel; SQLite's busy handler sleeps in steps). The thread
waits for it as long as it takes; its callers do not (``pending_writes``). Who is alone is spared
both while the disk is quick (``quick_commits``).
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import OperatorError, StoreError
from orgserver.store.engines.engine import Clock, StoreEngine
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.processes.locks import PATIENCE
from orgserver.store.transaction import Change, DriverConnection, GroupConflict, transact
from orgserver.store.writes.group import Group, explain, look_up, make_marks
from orgserver.store.writes.lock_waits import LockWaits
from orgserver.store.writes.pending_writes import PendingWrite, PendingWrites, fail_writes, wake_callers
from orgserver.store.writes.quick_commits import QuickCommits
from orgserver.store.writes.writer_connection import WriterConnection
from orgserver.vault.ring import RingBehind

T = TypeVar("T")

GROUP_LIMIT = 256
TURN_SECONDS = 0.005
"""How long one process holds the lock while it has more to write."""
_JOIN_SECONDS = 0.02
logger = logging.getLogger("orgserver.store")


class Writer:
    """The one way to change the store. ``write`` returns when the change is durable."""

    def __init__(self, engine: StoreEngine, test_clock: Clock | None = None, patience: Patience = PATIENCE) -> None:
        self._engine = engine
        self._pending = PendingWrites(patience, engine.find_holder)
        self.lock_waits = LockWaits(partial(engine.begin, test_clock=test_clock))
        self._queue: queue.SimpleQueue[PendingWrite[Any] | None] = queue.SimpleQueue()
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_awake = False
        """The thread runs a group, or callers of the last one have not gone on yet."""
        self._thread: threading.Thread | None = None
        self.connection = WriterConnection(engine)
        self._marks = make_marks(engine)
        self._is_careful = not engine.is_server
        """The next group does nothing for all its changes at once."""
        self._is_running = False
        self.groups = 0
        """Commits of this process."""
        self.changes = 0
        """Changes that they held."""
        self._quick = QuickCommits(engine.lock)
        self._is_damaged = False
        """The connection failed on the event loop, where it cannot be closed."""
        self._is_last = False
        """Nothing comes after what was taken from the queue."""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._work, name="orgserver-writer", daemon=True)
        self._is_running = True
        self._thread.start()

    async def write(
        self,
        change: Change[T],
        *,
        within: float | None = None,
        late: Callable[[T], None] | None = None,
        is_alone: bool = False,
    ) -> T:
        """Run a change and wait until it is durable; StoreError if it is not.

        StoreBusy when that takes longer than ``within`` seconds, or than the writer's patience: the change does not go
        in, unless it was under way, in which case ``late`` gets its result.
        A caller that is cancelled while it waits leaves its change in the queue: it goes in all the same.
        ``is_alone``: the change is a small one, and no other call is under way that the event loop would keep waiting.
        """
        try:
            if is_alone and (connection := self._take_connection()) is not None:
                return self._commit_now(connection, change)
            return await self._write_once(change, within, late)
        except RingBehind as behind:
            await asyncio.to_thread(behind.catch_up)
            return await self._write_once(change, within, late)

    async def _write_once(self, change: Change[T], within: float | None, late: Callable[[T], None] | None) -> T:
        loop = asyncio.get_running_loop()
        until = math.inf if within is None else time.monotonic() + within
        write: PendingWrite[T] = PendingWrite(change, loop, loop.create_future(), until, late)
        if not self._is_running:
            raise StoreError("the store is closed")
        self._pending.add(write)
        self._queue.put(write)
        if not self._is_awake:
            self._wake_up()
        try:
            return await write.future
        finally:
            self._pending.writes.pop(write, None)

    def _take_connection(self) -> DriverConnection | None:
        """The connection, if the event loop may use it: with nothing for the thread to do, and in a turn of its own."""
        if self._is_awake or self._is_damaged or not self._is_running or self.connection.current is None:
            return None
        return self.connection.current if self._quick.take_turn() else None

    def _commit_now(self, connection: DriverConnection, change: Change[T]) -> T:
        try:
            result = self._quick.commit(connection, self.lock_waits.begin, change)
        except DBAPIError as error:
            self._is_damaged = True
            raise self._engine.explain(error, is_writing=True) from error
        self.groups += 1
        self.changes += 1
        return result

    def _wake_up(self) -> None:
        self._is_awake = True
        self._wake_ups.put(None)

    def _go_on(self) -> None:
        """Begin the next group, if anything waits; called when the callers of the last one have gone on.

        What they write at once is in it, too. A thread that did not wait for them would commit less at a time, and take
        the interpreter from them while they go on.
        """
        self._is_awake = False
        if not self._queue.empty():
            self._wake_up()

    @property
    def longest_wait(self) -> float:
        """For how many seconds somebody has been waiting for a change of theirs."""
        return self._pending.longest_wait

    def wait_as(self, patience: Patience) -> None:
        """From now on callers wait like this."""
        self._pending.patience = patience

    async def close(self) -> None:
        """Finish what waits, close the connection under the lock (the last one to close checkpoints), and the lock.

        When the lock is not to be had the thread stays behind, and closes them later or dies with the process.
        """
        if self._thread is not None:
            self._queue.put(None)
            self._wake_up()
            if not await asyncio.to_thread(self._ended, self._thread):
                logger.warning("the store is busy, so its connection is left to the end of the process")
            self._thread, self._is_running = None, False

    def _ended(self, thread: threading.Thread) -> bool:
        """Wait for the thread to end, but not for the lock of another process."""
        until = time.monotonic() + self._pending.patience.seconds
        while thread.is_alive():
            thread.join(_JOIN_SECONDS)
            if time.monotonic() >= until and (self._engine.lock is None or self._engine.lock.has_waiter):
                return False
        return True

    def _work(self) -> None:
        try:
            self._engine.run(self._run_groups)
        finally:
            self._is_running = False

    def _run_groups(self) -> None:
        while not self._is_last:
            self._wake_ups.get()
            writes: list[PendingWrite[Any]] = []
            self._top_up(writes)
            if writes:
                self._run_group(writes)
        with self._quick.turn, self._engine.hold():
            self._drop_connection()
        self._engine.close_writer()

    def _top_up(self, writes: list[PendingWrite[Any]]) -> None:
        """Take in what waits; again with the lock, for what came meanwhile would wait for one more turn otherwise."""
        while len(writes) < GROUP_LIMIT and not self._is_last:
            try:
                write = self._queue.get_nowait()
            except queue.Empty:
                return
            if write is None:
                self._is_last = True
            else:
                writes.append(write)

    def _run_group(self, writes: list[PendingWrite[Any]]) -> None:
        """Commit all that can be committed: a change that fails is taken out, and its neighbours run again.

        A group that takes longer than a turn is cut, so that other processes get the lock in between.
        """
        loop = writes[0].loop
        while writes:
            answers = self._attempt(writes)
            ids = set(map(id, answers))
            rest = [write for write in writes if id(write) not in ids]
            self._pending.put_back(rest)
            writes = [write for write in rest if not write.given_up]
            wake_callers(answers, None if writes else loop, self._go_on)

    def _attempt(self, writes: list[PendingWrite[Any]]) -> list[PendingWrite[Any]]:
        """Run changes in one transaction, for one turn, and those that came meanwhile: the callers to be answered."""
        group = Group()
        try:
            self._commit(group, writes)
        except GroupConflict:
            self._is_careful = True
            return []
        except (DBAPIError, OSError) as error:
            return self._answer_failure(group, writes, error)
        except Exception as error:  # noqa: BLE001  # whatever a change raises belongs to its caller, not to this thread
            return fail_writes(writes if group.current is None else [group.current], error)
        return self._answer_success(group)

    def _commit(self, group: Group, writes: list[PendingWrite[Any]]) -> None:
        with self._quick.turn, self._engine.hold():
            self._top_up(writes)
            if self._is_damaged:
                self._drop_connection()
            connection = self.connection.get()
            self._quick.prepare(connection)
            begin = time.monotonic()
            with transact(connection, self.lock_waits.begin) as group.transaction:
                if self._marks is not None:
                    self._marks.look_back_in(group.transaction)
                    self._top_up(writes)  # others were waited for only now
                    group.transaction.is_careful = self._is_careful
                group.run(self._pending.take_up(writes), group.transaction, time.monotonic() + TURN_SECONDS)
                if self._marks is not None:
                    group.transaction.before_commit.append(partial(group.sign, marks=self._marks))
            self._quick.note(begin, len(group.successes))

    def _answer_success(self, group: Group) -> list[PendingWrite[Any]]:
        self.groups += 1
        self.changes += len(group.successes)
        self._is_careful = not self._engine.is_server
        self.connection.is_new = False
        if self._marks is not None and group.mark is not None:
            self._marks.keep(group.mark)
        return group.successes

    def _answer_failure(
        self, group: Group, writes: list[PendingWrite[Any]], error: DBAPIError | OSError
    ) -> list[PendingWrite[Any]]:
        """Tell what an error of the database means for whom; whoever is not answered runs again."""
        was_new = self.connection.is_new
        self._reconnect_later()
        if self._marks is not None and group.may_be_committed:
            verdict = look_up(group, self._marks, self.connection, self.lock_waits.begin, self._refuse_waiting)
            if isinstance(verdict, Exception):
                return fail_writes(writes, explain(verdict, self._engine))
            if verdict:
                group.end()
                return self._answer_success(group)
            if self._marks.is_lost(error):
                return []
        elif self._marks is not None and not was_new and self._marks.is_lost(error):
            return []  # that connection ended while nothing was asked of it: the next tells more
        failures = writes if group.current is None or self._engine.concerns_all(error) else [group.current]
        return fail_writes(failures, self._engine.explain(error, is_writing=True))

    def _refuse_waiting(self, error: DBAPIError | OSError | OperatorError) -> bool:
        """Tell those who came meanwhile that a server is away; False if this writer is to end."""
        waiting: list[PendingWrite[Any]] = []
        self._top_up(waiting)
        wake_callers(fail_writes(waiting, explain(error, self._engine)), None, self._go_on)
        return not self._is_last

    def _reconnect_later(self) -> None:
        try:
            with self._quick.turn, self._engine.hold():
                self._drop_connection()
        except OSError:
            self.connection.current = None

    def _drop_connection(self) -> None:
        self._is_damaged = False
        self.connection.drop()

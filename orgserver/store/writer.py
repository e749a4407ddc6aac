"""How every change reaches the store: one thread, grouped commits, under one lock file.

Callers hand over plain functions over a ``Transaction``. Whatever waits when a commit ends goes into the next one,
so durability costs one sync per group, not per call. The lock file beside the database covers every write,
checkpoint and close of every process: it is the defence against SQLite's WAL-reset bug (fixed in 3.51.3),
and it makes waiting fair (``flock`` blocks in the kernel; SQLite's busy handler sleeps in steps). The thread
waits for it as long as it takes; its callers do not (``pending_writes``).
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreError
from orgserver.store.pending_writes import PendingWrite, PendingWrites, concerns_all, resolve_writes, write_error
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.processes.locks import PATIENCE, LockFile
from orgserver.store.sqlite import BEGIN
from orgserver.store.transaction import Change, DriverConnection, Transaction, read_clock
from orgserver.vault.ring import RingBehind

T = TypeVar("T")

GROUP_LIMIT = 256
TURN_SECONDS = 0.005
"""How long one process holds the lock while it has more to write."""
LOOK_SECONDS = 0.25
_JOIN_SECONDS = 0.02
logger = logging.getLogger("orgserver.store")


class Writer:
    """The one way to change the store. ``write`` returns when the change is durable."""

    def __init__(
        self, engine: Engine, lock: LockFile, clock: Callable[[], int] = read_clock, patience: Patience = PATIENCE
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._pending = PendingWrites(patience, lock.path)
        self._look: asyncio.TimerHandle | asyncio.Task[None] | None = None
        """The next look at those who wait, while anybody does."""
        self._clock = clock
        self._queue: queue.SimpleQueue[PendingWrite[Any] | None] = queue.SimpleQueue()
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_awake = False
        """The thread runs a group, or callers of the last one have not gone on yet."""
        self._thread: threading.Thread | None = None
        self._connection: DriverConnection | None = None
        self._is_running = False
        self.groups = 0
        """Commits of this process."""
        self.changes = 0
        """Changes that they held."""
        self._is_last = False
        """Nothing comes after what was taken from the queue."""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._work, name="orgserver-writer", daemon=True)
        self._is_running = True
        self._thread.start()

    async def write(
        self, change: Change[T], *, within: float | None = None, late: Callable[[T], None] | None = None
    ) -> T:
        """Run a change and wait until it is durable; StoreError if it is not.

        StoreBusy when that takes longer than ``within`` seconds, or than the writer's patience: the change does not go
        in, unless it was under way, in which case ``late`` gets its result.
        A caller that is cancelled while it waits leaves its change in the queue: it goes in all the same.
        """
        try:
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
        self._pending.writes[write] = None
        if self._look is None:
            self._look = loop.call_later(LOOK_SECONDS, self._look_after_callers, loop)
        self._queue.put(write)
        if not self._is_awake:
            self._wake_up()
        try:
            return await write.future
        finally:
            self._pending.writes.pop(write, None)

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

    def _look_after_callers(self, loop: asyncio.AbstractEventLoop) -> None:
        """While anybody waits, see now and then whether somebody has waited for too long."""
        oldest = next(iter(self._pending.writes), None)
        if oldest is None:
            self._look, self._pending.has_told = None, False
        elif time.monotonic() < min(oldest.since + LOOK_SECONDS, self._first_deadline()):
            self._look = loop.call_later(LOOK_SECONDS, self._look_after_callers, loop)
        else:
            self._look = loop.create_task(self._answer_overdue(loop))

    def _first_deadline(self) -> float:
        return min((write.until for write in self._pending.writes), default=math.inf)

    async def _answer_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            await self._pending.answer_overdue()
        finally:
            pause = min(LOOK_SECONDS, max(self._first_deadline() - time.monotonic(), 0.01))
            self._look = loop.call_later(pause, self._look_after_callers, loop)

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
            if self._lock.has_waiter and time.monotonic() >= until:
                return False
        return True

    def _work(self) -> None:
        try:
            self._run_groups()
        finally:
            self._is_running = False

    def _run_groups(self) -> None:
        while not self._is_last:
            self._wake_ups.get()
            writes: list[PendingWrite[Any]] = []
            self._top_up(writes)
            if writes:
                self._run_group(writes)
        with self._lock.hold():
            self._drop_connection()
            self._engine.dispose()
        self._lock.close()

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
            self._wake_callers(answers, None if writes else loop)

    def _attempt(self, writes: list[PendingWrite[Any]]) -> list[PendingWrite[Any]]:
        """Run changes in one transaction, for one turn, and those that came meanwhile: the callers to be answered."""
        current: PendingWrite[Any] | None = None
        successes: list[PendingWrite[Any]] = []
        try:
            with self._lock.hold():
                self._top_up(writes)
                connection = self._connected()
                until = time.monotonic() + TURN_SECONDS
                connection.begin()  # only now is every lock ours: until here a change can be given up
                try:
                    transaction = Transaction(connection, self._clock())
                    for current in self._take_up(writes):
                        current.result = current.change(transaction)
                        successes.append(current)
                        if time.monotonic() > until:
                            break
                    current = None
                    for flush in transaction.before_commit:
                        flush(transaction)
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise
                for step in transaction.after_commit:
                    step()
        except DBAPIError as error:
            self._reconnect_later()
            failures = writes if current is None or concerns_all(error) else [current]
            return _fail(failures, write_error(error, self._engine.url.database))
        except OSError as error:
            return _fail(writes, StoreError(f"the store's lock file cannot be used: {error.strerror}"))
        except Exception as error:  # noqa: BLE001  # whatever a change raises belongs to its caller, not to this thread
            return _fail(writes if current is None else [current], error)
        self.groups += 1
        self.changes += len(successes)
        return successes

    def _take_up(self, writes: list[PendingWrite[Any]]) -> list[PendingWrite[Any]]:
        """Those of some writes that were not given up; from now on they cannot be."""
        with self._pending.guard:
            live = [write for write in writes if not write.given_up]
            for write in live:
                write.under_way = True
        return live

    def _wake_callers(self, writes: list[PendingWrite[Any]], last: asyncio.AbstractEventLoop | None) -> None:
        """One call into each event loop, however many wait there; the ``last`` begins the next group after that."""
        by_loop: dict[asyncio.AbstractEventLoop, list[PendingWrite[Any]]] = {} if last is None else {last: []}
        for write in writes:
            by_loop.setdefault(write.loop, []).append(write)
        for loop, its_writes in by_loop.items():
            go_on = self._go_on if loop is last else None
            try:
                loop.call_soon_threadsafe(resolve_writes, its_writes, go_on)
            except RuntimeError:  # that loop is closed: nobody waits any more
                logger.debug("a caller of the store went away")
                if go_on is not None:
                    go_on()

    def _reconnect_later(self) -> None:
        try:
            with self._lock.hold():
                self._drop_connection()
        except OSError:
            self._connection = None

    def _connected(self) -> DriverConnection:
        if self._connection is None or self._connection.connection.closed:
            self._connection = DriverConnection(self._engine.connect(), BEGIN)
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection.connection, None
            try:
                connection.invalidate()
                connection.close()
            except DBAPIError:
                logger.debug("closing the writer's connection failed", exc_info=True)


def _fail(writes: list[PendingWrite[Any]], error: BaseException) -> list[PendingWrite[Any]]:
    """Let writes end with an error; their callers are still to be woken."""
    for write in writes:
        write.error = error
    return writes

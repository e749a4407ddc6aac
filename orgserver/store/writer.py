"""How every change reaches the store: one thread, grouped commits, under one lock file.

Callers hand over plain functions over a ``Transaction``. Whatever waits when a commit ends goes into the next one,
so durability costs one sync per group, not per call. The lock file beside the database covers every write,
checkpoint and close of every process: it is the defence against SQLite's WAL-reset bug (fixed in 3.51.3),
and it makes waiting fair (``flock`` blocks in the kernel; SQLite's busy handler sleeps in steps). The thread
waits for it as long as it takes; its callers do not (``write_queue``).
"""

from __future__ import annotations

import asyncio
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreError
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_file import PATIENCE, LockFile
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.transaction import Change, Transaction, read_clock
from orgserver.store.write_queue import Job, WaitingJobs, fail_jobs, resolve_jobs

T = TypeVar("T")

GROUP_LIMIT = 256
TURN_SECONDS = 0.005
"""How long one process holds the lock while it has more to write."""
_JOIN_SECONDS = 0.02
logger = logging.getLogger("orgserver.store")


class Writer:
    """The one way to change the store. ``run`` returns when the change is durable."""

    def __init__(
        self, engine: Engine, lock: LockFile, clock: Callable[[], int] = read_clock, patience: Patience = PATIENCE
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._waiting = WaitingJobs(patience, lock.path)
        self._clock = clock
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._last = False
        """Nothing comes after what was taken from the queue."""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._work, name="orgserver-writer", daemon=True)
        self._thread.start()

    async def run(
        self, change: Change[T], *, within: float | None = None, late: Callable[[T], None] | None = None
    ) -> T:
        """Run a change and wait until it is durable; StoreError if it is not.

        StoreBusy when that takes longer than ``within`` seconds, or than the writer's patience: the change does not go
        in, unless it was under way, in which case ``late`` gets its result.
        A caller that is cancelled while it waits leaves its change in the queue: it goes in all the same.
        """
        loop = asyncio.get_running_loop()
        until = math.inf if within is None else time.monotonic() + within
        job: Job[T] = Job(change, loop, loop.create_future(), until, late)
        if self._thread is None or not self._thread.is_alive():
            raise StoreError("the store is closed")
        self._waiting.add(job)
        self._queue.put(job)
        try:
            return await job.future
        finally:
            self._waiting.discard(job)

    @property
    def longest_wait(self) -> float:
        """For how many seconds somebody has been waiting for a change of theirs."""
        return self._waiting.longest

    def wait_as(self, patience: Patience) -> None:
        """From now on callers wait like this."""
        self._waiting.patience = patience

    async def close(self) -> None:
        """Finish what waits, close the connection under the lock (the last one to close checkpoints), and the lock.

        When the lock is not to be had the thread stays behind, and closes them later or dies with the process.
        """
        if self._thread is not None:
            self._queue.put(None)
            if not await asyncio.to_thread(self._ended, self._thread):
                logger.warning("the store is busy, so its connection is left to the end of the process")
            self._thread = None

    def _ended(self, thread: threading.Thread) -> bool:
        """Wait for the thread to end, but not for the lock of another process."""
        until = time.monotonic() + self._waiting.patience.seconds
        while thread.is_alive():
            thread.join(_JOIN_SECONDS)
            if self._lock.has_waiter and time.monotonic() >= until:
                return False
        return True

    def _work(self) -> None:
        while not self._last:
            jobs: list[Job[Any]] = []
            self._take(jobs, self._queue.get())
            if jobs:
                self._run_group(jobs)
        with self._lock.hold():
            self._drop_connection()
            self._engine.dispose()
        self._lock.close()

    def _take(self, jobs: list[Job[Any]], job: Job[Any] | None) -> None:
        if job is None:
            self._last = True
        else:
            jobs.append(job)

    def _top_up(self, jobs: list[Job[Any]]) -> None:
        """Take in whatever came while this process waited for the lock: it would wait for one more turn otherwise."""
        while len(jobs) < GROUP_LIMIT and not self._last:
            try:
                self._take(jobs, self._queue.get_nowait())
            except queue.Empty:
                return

    def _run_group(self, jobs: list[Job[Any]]) -> None:
        """Commit all that can be committed: a change that fails is taken out, and its neighbours run again.

        A group that takes longer than a turn is cut, so that other processes get the lock in between.
        """
        waiting = list(jobs)
        while waiting:
            answers = self._attempt(waiting)
            resolve_jobs(answers)
            ids = set(map(id, answers))
            rest = [job for job in waiting if id(job) not in ids]
            self._waiting.put_back(rest)
            waiting = [job for job in rest if not job.given_up]

    def _attempt(self, jobs: list[Job[Any]]) -> list[Job[Any]]:
        """Run changes in one transaction, for one turn, and those that came meanwhile: the callers that can be told."""
        current: Job[Any] | None = None
        successes: list[Job[Any]] = []
        try:
            with self._lock.hold():
                self._top_up(jobs)
                connection = self._connected()
                until = time.monotonic() + TURN_SECONDS
                with connection.begin():  # only now is every lock ours: until here a change can be given up
                    transaction = Transaction(connection, self._clock())
                    for current in self._waiting.take_up(jobs):
                        current.result = current.change(transaction)
                        successes.append(current)
                        if time.monotonic() > until:
                            break
                    current = None
                    for step in transaction.before_commit:
                        step()
        except DBAPIError as error:
            self._reconnect_later()
            if current is None or _whole_store(error):
                return fail_jobs(jobs, self._store_error(error))
            return fail_jobs([current], self._store_error(error))
        except OSError as error:
            return fail_jobs(jobs, StoreError(f"the store's lock file cannot be used: {error.strerror}"))
        except Exception as error:  # noqa: BLE001  # whatever a change raises belongs to its caller, not to this thread
            return fail_jobs(jobs if current is None else [current], error)
        return successes

    def _store_error(self, error: DBAPIError) -> StoreError:
        hint = "check free disk space and the permissions of its folder"
        busy = lock_holders.busy_in_sqlite(error, Path(self._engine.url.database or ""))
        return busy or StoreError(f"the store cannot be written: {error.orig}", hint=hint)

    def _reconnect_later(self) -> None:
        try:
            with self._lock.hold():
                self._drop_connection()
        except OSError:
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._engine.connect()
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.invalidate()
                connection.close()
            except DBAPIError:
                logger.debug("closing the writer's connection failed", exc_info=True)


def _whole_store(error: DBAPIError) -> bool:
    """Tell whether a failure concerns the store, not one change: everybody in the group would meet it."""
    text = str(error.orig)
    return any(
        sign in text
        for sign in (
            "disk",
            "full",
            "locked",
            "readonly",
            "malformed",
            "unable to open",
            "not a database",
            "no such table",
        )
    )

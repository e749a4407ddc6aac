"""The lock file beside the database, which one process at a time holds while it writes, checkpoints or closes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import portalocker

from orgserver.model.errors import StoreBusy
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_holders import Patience

PATIENCE = Patience()
_LOOK_SECONDS = 0.01
_WAIT_SECONDS = 0.1


def lock_path(file: Path) -> Path:
    """Where the lock file of a database is."""
    return file.with_name(file.name + ".lock")


class LockFile:
    """The exclusive lock beside the database; the kernel frees it when its holder dies.

    Whoever holds it has its process id in it (``lock_holders``), for those who wait.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._mark = lock_holders.mark()
        self.has_waiter = False
        """Somebody waits for it in the kernel."""

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the lock, in the kernel and without a limit, and hold it: in a thread that nothing waits for."""
        self.take()
        try:
            yield
        finally:
            self.release()

    def take(self) -> None:
        """Wait for the lock, in the kernel and without a limit."""
        self.has_waiter = True
        portalocker.lock(self._file, portalocker.LockFlags.EXCLUSIVE)
        self.has_waiter = False
        self._sign()

    def take_now(self) -> bool:
        """Take the lock if nobody holds it."""
        try:
            portalocker.lock(self._file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.LockException:
            return False
        self._sign()
        return True

    def release(self) -> None:
        """Give the lock back."""
        portalocker.unlock(self._file)

    def free_within(self, seconds: float) -> bool:
        """Tell whether the lock can be had within so many seconds; it is given back at once."""
        until = time.monotonic() + seconds
        while not self.take_now():
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_SECONDS)
        self.release()
        return True

    def fileno(self) -> int:
        """The descriptor of the open file."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the lock file (the file itself stays: removing it would split the lock in two)."""
        self._file.close()

    def _sign(self) -> None:
        if not hasattr(os, "pread"):
            return  # Windows lets nobody read what is locked
        number = self._file.fileno()
        with suppress(OSError):  # a full disk is no reason not to hold a lock
            if os.pread(number, len(self._mark), 0) != self._mark:
                os.pwrite(number, self._mark, 0)


@contextmanager
def hold_lock(database: Path, patience: Patience = PATIENCE) -> Iterator[None]:
    """Hold the lock over a descriptor of our own: two threads on one descriptor do not exclude each other.

    Raises StoreBusy, naming the holder, when patience is at its end; whoever has it is told of a long wait before.
    """
    lock = LockFile(lock_path(database))
    if not lock.take_now():
        _LockWait(lock).end(patience)
    try:
        yield
    finally:
        lock.close()  # which gives it back


@contextmanager
def hold_lock_if_free(database: Path, patience: Patience) -> Iterator[None]:
    """As ``hold_lock``, to close a connection that only read: go on without the lock when it is not to be had.

    Only the last connection to close writes the WAL back, which needs the lock; whoever holds it has one open.
    """
    with ExitStack() as stack:
        with suppress(StoreBusy):
            stack.enter_context(hold_lock(database, patience))
        yield


class _LockWait:
    """A thread that waits in the kernel for a lock, and can be left behind: what it gets then, it gives back."""

    def __init__(self, lock: LockFile) -> None:
        self._lock = lock
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._given_up = False
        self._error: OSError | None = None
        threading.Thread(target=self._take, name="orgserver-lock", daemon=True).start()

    def _take(self) -> None:
        try:
            self._lock.take()
        except OSError as error:
            self._error = error
        with self._guard:
            self._over.set()
            if self._given_up:
                self._lock.close()

    def end(self, patience: Patience) -> None:
        """Return when the lock is held; StoreBusy when that took too long."""
        start, tell = time.monotonic(), patience.tell
        while not self._over.wait(_WAIT_SECONDS):
            seconds, holder = time.monotonic() - start, lock_holders.holder_of(self._lock.path)
            if patience.is_over(seconds, holder) and self._abandon():
                raise lock_holders.busy(holder)
            if tell is not None and seconds >= lock_holders.TELL_SECONDS:
                tell(lock_holders.waiting_line(holder, patience.seconds))
                tell = None  # once
        if self._error is not None:
            self._lock.close()
            raise self._error

    def _abandon(self) -> bool:
        with self._guard:
            self._given_up = not self._over.is_set()
            return self._given_up

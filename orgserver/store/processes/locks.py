"""Locks of files: the one beside the database, for who writes, and one of each process, for as long as it lives.

One process at a time holds the database's lock while it writes, checkpoints or closes. Each process that takes leases
holds the lock of a file of its own, ``<database>.process-<id>``, made before its first lease: so a holder without a
file is dead, for death lets go of it. What the dead leave behind is removed by whoever finds it. One machine is all
that SQLite serves; of a server the same questions are asked by locks of its sessions (``store/engines``).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection

from orgserver.model.errors import StoreBusy, StoreError
from orgserver.model.names import new_id
from orgserver.private_files import lock_file, lock_file_if_free, unlock_file
from orgserver.store.files import lock_path
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_holders import Holder, Patience

PATIENCE = Patience()
_LOOK_SECONDS = 0.01
_WAIT_SECONDS = 0.1
_WITH_FILE = "locked"
"""Begins the name of a holder that has such a file; older versions have none, and their leases end by time alone."""


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
        lock_file(self._file)
        self.has_waiter = False
        self._sign()

    def take_now(self) -> bool:
        """Take the lock if nobody holds it."""
        if not lock_file_if_free(self._file):
            return False
        self._sign()
        return True

    def release(self) -> None:
        """Give the lock back."""
        unlock_file(self._file)

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


@contextmanager
def hold_file_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock file, if nobody else does; the file stays there, for removing it would split the lock in two."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise StoreError(f"the file {path} cannot be locked: {error.strerror}") from error
    with os.fdopen(descriptor, "r+b") as file:
        is_mine = lock_file_if_free(file)
        try:
            yield is_mine
        finally:
            if is_mine:
                unlock_file(file)


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


class FileProcessLock:
    """The lock that says that this process lives, and a look at those of others."""

    is_proof = True
    """The system lets go of it when its holder dies, and never before."""

    def __init__(self, database: Path, process_id: str) -> None:
        self._database = database
        self._process_id = process_id
        self._lock: LockFile | None = None

    async def prepare(self) -> None:
        """Nothing is needed for it."""

    def holder(self) -> str:
        """A new name under which this process may hold a lease."""
        return f"{_WITH_FILE}/{self._process_id}/{new_id()}"

    def take(self, _connection: Connection | None = None) -> None:
        """Let others see that this process lives, from now on until its end; StoreError if that cannot be."""
        if self._lock is not None:
            return
        for path in self._database.parent.glob(f"{self._database.name}.process-*"):
            _is_locked(path)  # which removes it if nobody holds it
        path = self._file_of(self._process_id)
        try:
            self._lock = _take_lock(path)
        except OSError as error:
            raise StoreError(f"the file {path} cannot be locked: {error.strerror}") from error

    def is_alive(self, _connection: Connection, holder: str) -> bool:
        """Whether a lease's holder lives; True too where that is not known."""
        process_id = _process_of(holder)
        return process_id in (None, self._process_id) or _is_locked(self._file_of(str(process_id)))

    def is_here(self, _holder: str) -> bool:
        """All processes are this machine's."""
        return True

    def process_of(self, holder: str) -> Holder | None:
        """The process of a lease's holder, where it is known."""
        process_id = _process_of(holder)
        return None if process_id is None else lock_holders.holder_of(self._file_of(process_id))

    async def aclose(self) -> None:
        """This process holds no lease any more."""
        self.release()

    def release(self) -> None:
        """Let others see that this process holds no lease any more."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            with suppress(OSError):  # Windows removes no file that is open
                lock.path.unlink(missing_ok=True)
            lock.close()

    def _file_of(self, process_id: str) -> Path:
        return self._database.with_name(f"{self._database.name}.process-{process_id}")


def _process_of(holder: str) -> str | None:
    kind, _, rest = holder.partition("/")
    return rest.partition("/")[0] if kind == _WITH_FILE else None


def _take_lock(path: Path) -> LockFile:
    while True:
        lock = LockFile(path)
        lock.take()  # at most as long as somebody else looks at it
        if _is_same(path, lock):
            return lock
        lock.close()  # somebody took it for that of a dead process in between, and removed it


def _is_same(path: Path, lock: LockFile) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _is_locked(path: Path) -> bool:
    """Whether a process holds this file; if none does, the file is removed."""
    try:
        with path.open("rb") as file:
            if not lock_file_if_free(file, shared=True):
                return True
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # nobody knows: then the lease ends by time
    return False

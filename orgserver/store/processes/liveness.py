"""Which processes on this store live: each holds the lock of a file of its own, and death lets go of it.

A process makes its file, ``<database>.process-<id>``, before it takes its first lease, so a holder without a file is
dead. What the dead leave behind is removed by whoever finds it. One machine is all that SQLite serves; where several
share a database, the same questions are asked of locks of its sessions.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import portalocker

from orgserver.model.errors import StoreError
from orgserver.model.names import new_id
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_file import LockFile
from orgserver.store.processes.lock_holders import Holder

_WITH_FILE = "locked"
"""Begins the name of a holder that has such a file; older versions have none, and their leases end by time alone."""


class Liveness:
    """Proof that this process lives, and a look at the others."""

    def __init__(self, database: Path, process_id: str) -> None:
        self._database = database
        self._process_id = process_id
        self._proof: LockFile | None = None

    def holder(self) -> str:
        """A new name under which this process may hold a lease."""
        return f"{_WITH_FILE}/{self._process_id}/{new_id()}"

    def prove(self) -> None:
        """Let others see that this process lives, from now on until its end; StoreError if that cannot be."""
        if self._proof is not None:
            return
        for path in self._database.parent.glob(f"{self._database.name}.process-*"):
            _is_locked(path)  # which removes it if nobody holds it
        path = self._file_of(self._process_id)
        try:
            self._proof = _take_lock(path)
        except OSError as error:
            raise StoreError(f"the file {path} cannot be locked: {error.strerror}") from error

    def is_alive(self, holder: str) -> bool:
        """Whether a lease's holder lives; True too where that is not known."""
        process_id = _process_of(holder)
        return process_id in (None, self._process_id) or _is_locked(self._file_of(str(process_id)))

    def process_of(self, holder: str) -> Holder | None:
        """The process of a lease's holder, where it is known."""
        process_id = _process_of(holder)
        return None if process_id is None else lock_holders.holder_of(self._file_of(process_id))

    def end(self) -> None:
        """This process holds no lease any more."""
        if self._proof is not None:
            proof, self._proof = self._proof, None
            with suppress(OSError):  # Windows removes no file that is open
                proof.path.unlink(missing_ok=True)
            proof.close()

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
            portalocker.lock(file, portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING)
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return False
    except (OSError, portalocker.LockException):
        return True  # or nobody knows: then the lease ends by time
    return False

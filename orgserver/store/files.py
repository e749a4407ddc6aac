"""The files of a SQLite store: folder, permissions, lock, and where it may not lie."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import portalocker

from orgserver.model.errors import StoreBusy, StoreError
from orgserver.private_files import sync_folder
from orgserver.store.processes import lock_holders
from orgserver.store.processes.lock_holders import Patience

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "9p", "ceph", "glusterfs"}
)
FREE_FLOOR = 64 * 1024 * 1024
"""New acts are refused below this much free space, so that outcomes still fit."""
PATIENCE = Patience()
_LOOK_SECONDS = 0.01
_WAIT_SECONDS = 0.1
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How the kernel writes spaces, tabs, line ends and backslashes of paths there."""


def prepare(file: Path) -> None:
    """Make the folder (0700) and an empty database file (0600) where there are none, under names that are durable.

    Raises StoreError. Must run before SQLite opens the file: closing a descriptor of it drops SQLite's locks.
    """
    folder = file.parent
    try:
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if file.is_symlink():
            raise StoreError(f"{file} is a symbolic link", hint="name the database file itself")
        _refuse_network(folder)
        if not file.exists():
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600))
            _keep_names([folder, *(each.parent for each in made)])
        elif os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
            file.chmod(0o600)
        if not os.access(file, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK):
            raise PermissionError(13, "permission denied")
    except FileExistsError:
        return  # another process made it just now
    except OSError as error:
        raise StoreError(
            f"the store {file} cannot be used: {(error.strerror or type(error).__name__).lower()}",
            hint="check the folder's permissions and free space, or set ORGSERVER_HOME to another folder",
        ) from None


def _keep_names(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # a folder above ours may let nobody read it
            sync_folder(folder)


def free_bytes(folder: Path) -> int:
    """Free space for us on the store's disk."""
    if hasattr(os, "statvfs"):
        status = os.statvfs(folder)
        return status.f_bavail * status.f_frsize
    import shutil  # noqa: PLC0415  # Windows only

    return shutil.disk_usage(folder).free


def lock_path(file: Path) -> Path:
    """Where the lock file of a database is."""
    return file.with_name(file.name + ".lock")


class LockFile:
    """The exclusive lock beside the database; the kernel frees it when its holder dies.

    Whoever holds it has its process id in it (``holders``), for those who wait.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._mark = lock_holders.mark()
        self.is_awaited = False
        """Somebody waits for it in the kernel."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, in the kernel and without a limit, and hold it: in a thread that nothing waits for."""
        self.take()
        try:
            yield
        finally:
            self.release()

    def take(self) -> None:
        """Wait for the lock, in the kernel and without a limit."""
        self.is_awaited = True
        portalocker.lock(self._file, portalocker.LockFlags.EXCLUSIVE)
        self.is_awaited = False
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
def held(database: Path, patience: Patience = PATIENCE) -> Iterator[None]:
    """Hold the lock over a descriptor of our own: two threads on one descriptor do not exclude each other.

    Raises StoreBusy, naming the holder, when patience is at its end; whoever has it is told of a long wait before.
    """
    lock = LockFile(lock_path(database))
    if not lock.take_now():
        _Wait(lock).end(patience)
    try:
        yield
    finally:
        lock.close()  # which gives it back


@contextmanager
def held_if_free(database: Path, patience: Patience) -> Iterator[None]:
    """As ``held``, to close a connection that only read: go on without the lock when it is not to be had.

    Only the last connection to close writes the WAL back, which needs the lock; whoever holds it has one open.
    """
    with ExitStack() as stack:
        with suppress(StoreBusy):
            stack.enter_context(held(database, patience))
        yield


class _Wait:
    """A thread that waits in the kernel for a lock, and can be left behind: what it gets then, it gives back."""

    def __init__(self, lock: LockFile) -> None:
        self._lock = lock
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._abandoned = False
        self._error: OSError | None = None
        threading.Thread(target=self._take, name="orgserver-lock", daemon=True).start()

    def _take(self) -> None:
        try:
            self._lock.take()
        except OSError as error:
            self._error = error
        with self._guard:
            self._over.set()
            if self._abandoned:
                self._lock.close()

    def end(self, patience: Patience) -> None:
        """Return when the lock is held; StoreBusy when that took too long."""
        began, told = time.monotonic(), patience.tell is None
        while not self._over.wait(_WAIT_SECONDS):
            waited, holder = time.monotonic() - began, lock_holders.holder_of(self._lock.path)
            if patience.is_over(waited, holder) and self._abandon():
                raise lock_holders.busy(holder)
            if not told and waited >= lock_holders.TELL_SECONDS:
                told = True
                patience.tell(lock_holders.waiting_line(holder, patience.seconds))  # type: ignore[misc]  # there is one
        if self._error is not None:
            self._lock.close()
            raise self._error

    def _abandon(self) -> bool:
        with self._guard:
            self._abandoned = not self._over.is_set()
            return self._abandoned


def _refuse_network(folder: Path) -> None:
    kind = file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{folder} lies on a network file system ({kind}), where SQLite's locks do not hold",
            hint="set ORGSERVER_HOME to a folder on a local disk",
        )


def file_system(folder: Path) -> str | None:
    """The type of the file system a folder lies on; None where the platform does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8")
    except OSError:
        return None
    resolved = str(folder.resolve())
    best, kind = -1, None
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), left.split()[4])
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), right.split()[0]
    return kind

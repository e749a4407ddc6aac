"""Files that hold secrets or evidence: private, and either whole and on the disk, or not there at all; their locks."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

_PRIVATE = 0o600
_WITHOUT_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_CANNOT_SYNC = frozenset({errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def write_whole(path: Path, content: bytes, *, replace: bool = False, mode: int = _PRIVATE) -> None:
    """Write a file so that it is whole and on the disk before anybody sees it under its name.

    Raises FileExistsError when it is there already (unless ``replace``), or another OSError.
    """
    staging = staging_path(path)
    try:
        with create(staging, mode) as file:
            file.write(content)
        publish(staging, path, replace=replace)
    finally:
        staging.unlink(missing_ok=True)


def staging_path(path: Path) -> Path:
    """A name beside a path, for what is written there until it is whole; it has the same ending."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")


def create(path: Path, mode: int = _PRIVATE) -> BinaryIO:
    """Make a new file, of this account alone if no other mode is given; FileExistsError where there is one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(path, flags, _PRIVATE), "wb")
    if mode != _PRIVATE and hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), mode)
    return file


def publish(staging: Path, path: Path, *, replace: bool = False) -> None:
    """Bring a closed file to the disk and give it its name: unlike a rename, never over another (unless ``replace``).

    Never a file that SQLite has open: closing a descriptor of it would drop SQLite's locks.
    """
    _sync(staging, os.O_RDWR)
    if replace:
        staging.replace(path)
    else:
        _link(staging, path)
    sync_folder(path.parent)


def _link(staging: Path, path: Path) -> None:
    try:
        os.link(staging, path)
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        create(path).close()  # such as on a memory stick: the name is taken first, empty
        staging.replace(path)


def sync_folder(folder: Path) -> None:
    """Make a folder's names durable, where the platform knows how and the folder can be read."""
    if os.name == "posix":
        try:
            _sync(folder, os.O_RDONLY)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold_alone(path: Path) -> Iterator[None]:
    """Hold a lock file, which is made where it is missing and stays: removing it would split the lock in two."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        lock_file(file)
        try:
            yield
        finally:
            unlock_file(file)


# Locks are of an open file, and the kernel frees them when it is closed or its process dies. On POSIX they are those of
# ``flock``: nothing else of a library is needed, and the store takes one twice a call.

if sys.platform == "win32":
    import portalocker

    def lock_file(file: IO[bytes], *, shared: bool = False) -> None:
        """Wait for the lock of an open file, in the kernel and without a limit."""
        portalocker.lock(file, portalocker.LockFlags.SHARED if shared else portalocker.LockFlags.EXCLUSIVE)

    def lock_file_if_free(file: IO[bytes], *, shared: bool = False) -> bool:
        """Take the lock of an open file if nobody else has it."""
        kind = portalocker.LockFlags.SHARED if shared else portalocker.LockFlags.EXCLUSIVE
        try:
            portalocker.lock(file, kind | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.LockException:
            return False
        return True

    def unlock_file(file: IO[bytes]) -> None:
        """Give the lock of an open file back."""
        portalocker.unlock(file)

else:
    import fcntl

    def lock_file(file: IO[bytes], *, shared: bool = False) -> None:
        """Wait for the lock of an open file, in the kernel and without a limit."""
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)

    def lock_file_if_free(file: IO[bytes], *, shared: bool = False) -> bool:
        """Take the lock of an open file if nobody else has it."""
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock_file(file: IO[bytes]) -> None:
        """Give the lock of an open file back."""
        fcntl.flock(file, fcntl.LOCK_UN)

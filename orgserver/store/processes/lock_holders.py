"""Which process holds a lock, whether it is stopped, and for how long others wait for it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreBusy

TELL_SECONDS = 2.0
"""A person is told of a wait that is longer."""
_MARK_BYTES = 64
_LOCKS = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lock."""

    pid: int
    stopped: bool = False
    """By a signal (Ctrl-Z) or a debugger: it gives nothing back until somebody continues it."""

    def __str__(self) -> str:
        return f"process {self.pid}, which is stopped," if self.stopped else f"process {self.pid}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a lock of another process is waited for, and who is told of the wait."""

    seconds: float = 30.0
    stopped_seconds: float | None = None
    """The same for a holder that is stopped; None: no shorter."""
    tell: Callable[[str], None] | None = None
    """Gets one line when a wait is longer than ``TELL_SECONDS``."""

    def is_over(self, seconds: float, holder: Holder | None) -> bool:
        """Whether somebody who waited so many seconds for this holder gives up."""
        if seconds >= self.seconds:
            return True
        return (
            self.stopped_seconds is not None
            and seconds >= self.stopped_seconds
            and holder is not None
            and holder.stopped
            and holder.pid != os.getpid()
        )


def waiting_line(holder: Holder | None, seconds: float) -> str:
    """What a person is told while they wait."""
    return f"waiting for {holder or 'another process'} to let go of the store, for {seconds:g} s at most"


def busy(holder: Holder | None) -> StoreBusy:
    """What is said when nobody waits any longer."""
    if holder is None:
        return StoreBusy("the store is busy: another process holds it", hint="try again shortly")
    if holder.stopped:
        hint = f"continue that process (fg in its terminal, or: kill -CONT {holder.pid}) or end it, and try again"
        return StoreBusy(f"the store is busy: process {holder.pid} holds it and is stopped", hint=hint)
    hint = f"try again shortly; if it lasts, look at what process {holder.pid} does"
    return StoreBusy(f"the store is busy: process {holder.pid} holds it", hint=hint)


def mark() -> bytes:
    """What a holder writes into its lock file: its process id, and when it started, for ids are used again."""
    return f"{os.getpid()} {_start_of(os.getpid())}\n".encode("ascii").ljust(_MARK_BYTES)


def holder_of(path: Path, locks: Path = _LOCKS) -> Holder | None:
    """Who holds the lock of a file: by what the kernel says, else by what the holder wrote; None where neither tells.

    Linux lists locks in ``/proc/locks``: ``5: FLOCK  ADVISORY  WRITE 1234 fe:00:2605108 0 EOF`` (proc(5)).
    """
    pid = _in_kernel(path, "FLOCK", locks) or _in_file(path)
    return None if pid is None else Holder(pid, is_stopped(pid))


def holder_in_sqlite(file: Path) -> Holder | None:
    """Who has a database locked in SQLite itself, as a program does that knows nothing of our lock file.

    SQLite locks bytes of the database, and where it writes ahead those of the file ``-shm`` beside it
    (https://sqlite.org/walformat.html, "WAL locks").
    """
    pid = _in_kernel(file.with_name(f"{file.name}-shm"), "POSIX") or _in_kernel(file, "POSIX")
    return None if pid is None or pid == os.getpid() else Holder(pid, is_stopped(pid))


def find_users_in_sqlite(file: Path, locks: Path = _LOCKS) -> list[int]:
    """Who has a database open, whether or not they write: each has a lock on it for as long; where the kernel tells."""
    try:
        lines = locks.read_text("ascii", "replace").splitlines()
        numbers = {str(each.stat().st_ino) for each in (file, file.with_name(f"{file.name}-shm")) if each.exists()}
    except OSError:
        return []
    users = set()
    for line in lines:
        words = line.split()
        is_lock = len(words) >= 8 and words[1] == "POSIX" and words[4].isdigit()  # noqa: PLR2004
        if is_lock and words[5].rpartition(":")[2] in numbers:
            users.add(int(words[4]))
    return sorted(users - {0, os.getpid()})


def busy_in_sqlite(error: DBAPIError, file: Path) -> StoreBusy | None:
    """What is said when a statement failed because somebody else has the database locked; None for other reasons."""
    reason = error.orig
    if not isinstance(reason, sqlite3.Error) or reason.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
        return None
    return busy(holder_in_sqlite(file))


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped; on Windows none can be."""
    if sys.platform == "linux":
        status = _status(pid)
        return status is not None and status[0] in "Tt"
    if sys.platform == "win32":
        return False
    return _run_ps(pid).startswith("T")


def _in_kernel(path: Path, kind: str, locks: Path = _LOCKS) -> int | None:
    try:
        file, lines = path.stat(), locks.read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    alike: int | None = None
    for line in lines:
        words = line.split()
        if len(words) < 8 or words[1] != kind or words[3] != "WRITE":  # a waiter has "->" here  # noqa: PLR2004
            continue
        pid = int(words[4]) if words[4].isdigit() else 0  # 0 or less: of a container that this process cannot see
        if pid > 0 and words[5] == device:
            return pid
        if pid > 0 and words[5].rpartition(":")[2] == str(file.st_ino):
            alike = pid  # some file systems show another device number there than in stat
    return alike


def _in_file(path: Path) -> int | None:
    try:
        pid, start = path.read_bytes()[:_MARK_BYTES].decode("ascii").split()
        number = int(pid)
    except (OSError, ValueError):
        return None
    return number if start == _start_of(number) else None


def _start_of(pid: int) -> str:
    """When a process started, in a form of its platform; ``-`` where that is not known."""
    if sys.platform == "linux":
        status = _status(pid)
        return status[19] if status is not None else "-"
    return "-"


def _status(pid: int) -> list[str] | None:
    """The fields of ``/proc/PID/stat`` from the third on: the second is a name that may hold anything (proc(5))."""
    with suppress(OSError, UnicodeDecodeError):
        words = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return words if len(words) > 19 else None  # noqa: PLR2004
    return None


def _run_ps(pid: int) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        command = ["/bin/ps", "-o", "stat=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, text=True, timeout=1, check=False).stdout.strip()  # noqa: S603  # no input of others
    return ""

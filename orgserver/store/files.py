"""The store's file and folder: where they may not lie, how a file is known to be ours, and of which schema."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orgserver.model.errors import StoreError
from orgserver.private_files import create, sync_folder

SCHEMA = "0012"
"""The newest schema, which this version writes."""
OLDEST_READER = "0011"
"""The oldest schema whose programs may go on with a store of the newest one: what came since then only adds to it."""
OLDER_SCHEMAS: frozenset[str] = frozenset(
    {"0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011"}
)
APPLICATION_ID = 0x6F726773
"""``PRAGMA application_id`` of our files ("orgs"), so that a foreign database is recognised."""
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "9p", "ceph", "glusterfs"}
)
FREE_FLOOR = 64 * 1024 * 1024
"""New acts are refused below this much free space, so that outcomes still fit."""
_READ_SECONDS = 0.2
_CHECK_SECONDS = 0.1
_CHECK_STEPS = 2_000
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How the kernel writes spaces, tabs, line ends and backslashes of paths there."""


def lock_path(file: Path) -> Path:
    """Where the lock file of a database is."""
    return file.with_name(file.name + ".lock")


def prepare_file(file: Path) -> None:
    """Make the folder (0700) and an empty database file (0600) where there are none, under names that are durable.

    Raises StoreError. Must run before SQLite opens the file: closing a descriptor of it drops SQLite's locks.
    """
    folder = file.parent
    try:
        new_folders = _make_folder(folder)
        if file.is_symlink():
            raise StoreError(f"{file} is a symbolic link", hint="name the database file itself")
        _refuse_network(folder)
        if not file.exists():
            create(file).close()
            for each in (folder, *(each.parent for each in new_folders)):
                sync_folder(each)
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


def prepare_folder(folder: Path) -> None:
    """Make a folder (0700) for what lies beside a database of a server, under a name that is durable; StoreError."""
    try:
        for each in {made.parent for made in _make_folder(folder)}:
            sync_folder(each)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise StoreError(
            f"the folder {folder} cannot be used: {(error.strerror or type(error).__name__).lower()}",
            hint="check its permissions and free space, or set ORGSERVER_HOME to another folder",
        ) from None


def _make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it; the new ones."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return new


def _refuse_network(folder: Path) -> None:
    kind = find_file_system(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreError(
            f"{folder} lies on a network file system ({kind}), where SQLite's locks do not hold",
            hint="set ORGSERVER_HOME to a folder on a local disk",
        )


def find_file_system(folder: Path) -> str | None:
    """The type of the file system a folder lies on; None where the platform does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8")
    except OSError:
        return None
    path = str(folder.resolve())
    best, kind = -1, None
    for line in mounts.splitlines():
        mount, _, source = line.partition(" - ")
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), mount.split()[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), source.split()[0]
    return kind


@contextmanager
def open_to_read(database: Path) -> Iterator[sqlite3.Connection]:
    """Read a store that others may be using. sqlite3.Error where there is none, or nobody may read it now."""
    log = database.with_name(f"{database.name}-wal")
    # Where no log lies beside it nobody has it open, and SQLite would leave one there.
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    with closing(
        sqlite3.connect(f"{database.absolute().as_uri()}?{mode}", uri=True, timeout=_READ_SECONDS)
    ) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield connection


@contextmanager
def checking_briefly(connection: sqlite3.Connection) -> Iterator[None]:
    """Interrupt SQLite's own check after a moment: what it finds at once is found; the rest belongs to ``doctor``."""
    until = time.monotonic() + _CHECK_SECONDS
    connection.set_progress_handler(lambda: int(time.monotonic() > until), _CHECK_STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)

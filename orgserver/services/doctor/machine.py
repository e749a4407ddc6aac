"""The checks of ``doctor`` that need no open store: versions, the disk, and the files of the store.

Each finding is one line for a person, and says what to do where something is to be done. None holds a secret.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sqlite3
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import orgserver
from orgserver.config import Settings
from orgserver.salesforce.auth.token_refusals import GUIDE
from orgserver.store.engines import sqlite_checks
from orgserver.store.files import FREE_FLOOR, NETWORK_FILE_SYSTEMS, OLDER_SCHEMAS, SCHEMA, find_file_system, lock_path
from orgserver.store.processes.locks import LockFile
from orgserver.vault.sources import folder_risk
from orgserver.vault.system_keyring import COMMAND, SystemKeyring

Level = Literal["ok", "note", "warning", "problem"]
Version = tuple[int, int, int]

_LOCK_SECONDS = 5.0
_LITTLE_SPACE = 8 * FREE_FLOOR
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_BUG_CAME = (3, 7, 0)
_BUG_FIXED = ((3, 44, 6), (3, 50, 7))
"""Backports; every later release of the same line has it too."""
_BUG_GONE = (3, 51, 3)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked. A ``problem`` must be dealt with; a ``warning`` should be."""

    name: str
    level: Level
    text: str
    todo: str | None = None


def of_machine(settings: Settings) -> list[Finding]:
    """Check what surrounds the store. Blocks: from a thread, please."""
    beside = _beside(settings)
    return [
        Finding("orgserver", "ok", orgserver.__version__),
        Finding("Python", "ok", platform.python_version()),
        Finding("MCP SDK", "ok", version("mcp")),
        *([] if settings.is_on_server else of_sqlite(beside)),
        *(folder(each) for each in dict.fromkeys((settings.home, beside.parent)) if each.exists()),
        permissions(_private_files(settings), key_file(settings)),
        *([] if settings.is_on_server else [file_system(find_file_system(_existing(beside.parent)))]),
        free_space(shutil.disk_usage(_existing(beside.parent)).free),
        key_source(settings),
        key_place(settings),
        *unattended(settings),
    ]


def of_sqlite(database: Path) -> list[Finding]:
    """What SQLite needs: a good release, and nobody else."""
    others = Finding("other programs", "note", f"none may write {database.name}: they do not know its lock file")
    return [sqlite(sqlite3.sqlite_version_info), others]


def of_files(database: Path, patience: float = _LOCK_SECONDS) -> list[Finding]:
    """Check whether the store can be opened and may be. Blocks, at most for ``patience`` seconds."""
    if not database.is_file():
        todo = (
            f"orgserver add-org ALIAS makes one ({GUIDE} says which app an org needs), "
            "orgserver restore FILE puts a backup in"
        )
        return [Finding("store", "problem", f"there is none at {database}", todo)]
    lock = lock_file(database, patience)
    return [lock] if lock.level == "problem" else [lock, schema(database)]


# -- one by one


def sqlite(release: Version) -> Finding:
    """The WAL-reset bug (3.7.0 to 3.51.2) loses commits when one connection checkpoints while another commits."""
    name = ".".join(map(str, release))
    backported = any(release[:2] == fixed[:2] and release >= fixed for fixed in _BUG_FIXED)
    if backported or release >= _BUG_GONE or release < _BUG_CAME:
        return Finding(
            "SQLite", "ok", f"{name}, without the WAL-reset bug; writes take turns under the lock file anyway"
        )
    defence = "has the WAL-reset bug; held off: every write, checkpoint and close happens under the lock file"
    return Finding("SQLite", "note", f"{name} {defence}")


def folder(path: Path) -> Finding:
    """Whoever may write a folder may exchange what is in it."""
    if os.name != "posix":
        return Finding("folder", "ok", str(path))
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    todo = f"chmod 700 {shlex.quote(str(path))}"
    if status.st_uid not in (os.geteuid(), 0):
        return Finding("folder", "problem", f"{path} belongs to another user", "set ORGSERVER_HOME to one of your own")
    if mode & _OTHERS_WRITE:
        return Finding("folder", "problem", f"{path} can be changed by others (mode {mode:o})", todo)
    if mode & _OTHERS:
        return Finding("folder", "warning", f"{path} can be looked into by others (mode {mode:o})", todo)
    return Finding("folder", "ok", f"{path}, for its owner alone")


def permissions(paths: Iterable[Path], key: Path | None) -> Finding:
    """Sealed or not: what is in these files is nobody else's business. A key that others may read is not used."""
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths if path.exists()}
    if os.name != "posix":
        return Finding("files", "ok", "their folder decides who may read them")
    open_ones = [path for path, mode in modes.items() if mode & _OTHERS]
    if not open_ones:
        return Finding("files", "ok", "for their owner alone")
    names = ", ".join(f"{path.name} (mode {modes[path]:o})" for path in open_ones)
    todo = f"chmod 600 {shlex.join(map(str, open_ones))}"
    level: Level = "problem" if any(modes[path] & _OTHERS_WRITE or path == key for path in open_ones) else "warning"
    return Finding("files", level, f"open to others: {names}", todo)


def file_system(kind: str | None) -> Finding:
    """SQLite's locks, and ours, hold on local disks."""
    if kind is None:
        return Finding("file system", "note", "this platform does not tell its kind; it must be a local disk")
    if kind in NETWORK_FILE_SYSTEMS:
        todo = "set ORGSERVER_HOME to a folder on a local disk"
        return Finding("file system", "problem", f"{kind}, over a network, where SQLite's locks do not hold", todo)
    return Finding("file system", "ok", f"{kind}, local")


def free_space(free: int) -> Finding:
    """Below a floor, new calls are refused, so that the outcomes of those under way can be written."""
    text = f"{size(free)} free"
    if free < FREE_FLOOR:
        floor = f"below {size(FREE_FLOOR)} every call is refused"
        return Finding("disk", "problem", f"{text}: {floor}", "free some space")
    if free < _LITTLE_SPACE:
        return Finding("disk", "warning", text, "free some space before calls are refused")
    return Finding("disk", "ok", text)


def key_source(settings: Settings) -> Finding:
    """The first that is set wins; the key itself is never told."""
    if settings.master_key is not None:
        return Finding("master key", "ok", "from ORGSERVER_MASTER_KEY in the environment")
    if settings.master_key_file is not None:
        return Finding("master key", "ok", f"from ORGSERVER_MASTER_KEY_FILE, {settings.master_key_file}")
    if settings.master_key_command == COMMAND:
        entry = SystemKeyring(settings.home).name
        return Finding("master key", "ok", f"from {entry}, by ORGSERVER_MASTER_KEY_COMMAND=keyring")
    if settings.master_key_command:
        program = Path(settings.master_key_command[0]).name
        return Finding("master key", "ok", f"from ORGSERVER_MASTER_KEY_COMMAND, {program}")
    return Finding("master key", "ok", f"from {settings.home / 'master.key'}, as nothing else is set")


def key_place(settings: Settings) -> Finding:
    """A key in the same folder is in the same backup, and with the same thief."""
    path = key_file(settings)
    risk = folder_risk(path) if path is not None and path.parent.is_dir() else None
    if risk is not None:
        return Finding("key's place", "problem", f"{risk.reason}: the key is not used", risk.mend)
    if settings.is_on_server:
        return Finding("key's place", "ok", "not beside the database, which lies on a server")
    beside = path is not None and settings.database_file.parent.resolve() in path.resolve().parents
    if not beside:
        return Finding("key's place", "ok", "not beside the database")
    todo = "keep it elsewhere (ORGSERVER_MASTER_KEY_FILE, or a program by ORGSERVER_MASTER_KEY_COMMAND)"
    return Finding("key's place", "warning", "beside the database: whoever copies the folder can open it", todo)


def unattended(settings: Settings) -> list[Finding]:
    """A setting that lets commands pass where a person should stand is to be seen."""
    if settings.unattended is None:
        return []
    text = 'config.toml says unattended = "allow": what loosens or destroys runs with nobody at a terminal'
    return [Finding("unattended", "warning", text, "take it out of config.toml where no automation needs it")]


def lock_file(database: Path, patience: float) -> Finding:
    """Every writer waits for this lock; one that hangs while it holds it stops them all."""
    path = lock_path(database)
    try:
        lock = LockFile(path)
    except OSError as error:
        return Finding("lock file", "problem", f"{path} cannot be used: {error.strerror}", "make it a file of your own")
    try:
        free = lock.free_within(patience)
    finally:
        lock.close()
    if free:
        return Finding("lock file", "ok", f"{path.name} can be taken")
    text = f"another process has held {path.name} for more than {patience:g} s; every call waits for it"
    return Finding("lock file", "problem", text, f"find that process, and end it: fuser -v {shlex.quote(str(path))}")


def schema(database: Path) -> Finding:
    """Whether a file is a store of ours, and of which schema."""
    try:
        version, may_read = sqlite_checks.look_up_schema(database)
    except (sqlite3.Error, OSError) as error:
        return Finding("schema", "problem", f"{database} cannot be read: {error}", "restore it from a backup")
    if version is None:
        return Finding("schema", "problem", f"{database} is no store of orgserver's", "set ORGSERVER_HOME to our own")
    return schema_version(version, may_read=may_read)


def schema_version(version: str, *, may_read: bool) -> Finding:
    """A check is no reason to migrate a store that older servers may still be using."""
    if version in OLDER_SCHEMAS:
        todo = "stop servers of the older version, then: orgserver migrate"
        return Finding("schema", "problem", f"{version}, and this version needs {SCHEMA}", todo)
    if version != SCHEMA:
        newer = f"{version}, written by a newer orgserver: this one knows {SCHEMA}"
        return Finding("schema", "note" if may_read else "problem", newer, "update orgserver")
    return Finding("schema", "ok", f"{version}, the newest")


# -- what they share


def key_file(settings: Settings) -> Path | None:
    """The file the key is read from, if it is read from one."""
    if settings.master_key is not None:
        return None
    if settings.master_key_file is not None:
        return settings.master_key_file
    return None if settings.master_key_command else settings.home / "master.key"


def size(count: int) -> str:
    """Bytes for people."""
    gigabytes = count / 1_073_741_824
    return f"{gigabytes:,.1f} GiB" if gigabytes >= 1 else f"{count / 1_048_576:,.1f} MiB"


def _private_files(settings: Settings) -> list[Path]:
    beside, password = _beside(settings), settings.database_password_file
    others = [path for path in (key_file(settings), password) if path is not None]
    return [*sorted(beside.parent.glob(f"{beside.name}*")), *others]


def _beside(settings: Settings) -> Path:
    """The path whose name begins those of the store's files, here."""
    return settings.home / "postgresql-" if settings.is_on_server else settings.database_file


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest above it that is there."""
    return next((each for each in (path, *path.parents) if each.is_dir()), Path(path.anchor))

"""Everything this process asks of its disk, in order: what SQLite does, through a VFS of ours, and ``os.fsync``.

SQLite lets a program replace how it reaches files. Ours is the system's own with three of its methods exchanged for
Python functions that take a note and go on to the original, registered in the very library that the ``sqlite3`` module
is linked with: so it sees every connection of the process, and needs nothing that was compiled.
"""

import _sqlite3  # type: ignore[import-not-found]
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast, sizeof
from pathlib import Path
from typing import Any

from .disk import Acknowledged, Event, Made, NamesSynced, Synced, Truncated, Unmade, Written

HIDDEN = (
    f"nothing can watch what SQLite writes in {sys.executable}: its SQLite is built in, and its functions are hidden. "
    "Run this with a Python whose _sqlite3 is a file of its own (those of Linux distributions, python.org's container "
    "images, pyenv and conda are; uv's own Pythons are not)"
)
_OK = 0
_MAIN_DB, _MAIN_JOURNAL, _WAL = 0x100, 0x800, 0x80000
_METHODS = (
    "xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xUnlock", "xCheckReservedLock",
    "xFileControl", "xSectorSize", "xDeviceCharacteristics", "xShmMap", "xShmLock", "xShmBarrier",
    "xShmUnmap", "xFetch", "xUnfetch",
)  # fmt: skip
_VFS_METHODS = (
    "xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose",
    "xRandomness", "xSleep", "xCurrentTime", "xGetLastError", "xCurrentTimeInt64", "xSetSystemCall",
    "xGetSystemCall", "xNextSystemCall",
)  # fmt: skip

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _IoMethods(Structure):
    """``sqlite3_io_methods``."""

    _fields_ = (("iVersion", c_int), *((name, c_void_p) for name in _METHODS))


class _Vfs(Structure):
    """``sqlite3_vfs``."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        *((name, c_void_p) for name in _VFS_METHODS),
    )


def _library() -> ctypes.CDLL:
    """The SQLite that ``sqlite3`` uses: looked up through that module's own file, or in the program itself."""
    for name in (getattr(_sqlite3, "__file__", None), None):
        library = ctypes.CDLL(name)
        if hasattr(library, "sqlite3_vfs_register"):
            return library
    raise RuntimeError(HIDDEN)


class Watched:
    """The record of one folder, from now on and for as long as this process lives."""

    def __init__(self, folder: Path) -> None:
        self.record: list[Event] = []
        self._folder = str(folder)
        self._count = 0
        self._of: dict[int, int] = {}
        """Which file an open ``sqlite3_file`` is, by its address."""
        self._names: dict[str, int] = {}
        self._new_journals: set[int] = set()
        self._looking = threading.Lock()
        self._plain: dict[str, int] = {}
        """Inodes of the other files of the folder, by name."""
        self._files: dict[int, int] = {}
        self._known: dict[int, bytes] = {}
        self._kept: list[Any] = []  # what SQLite points to must live
        self._tables: dict[int, _IoMethods] = {}
        self._watch_sqlite(_library())
        self._watch_fsync()

    def acknowledged(self, kind: str, what: str) -> None:
        """Note that somebody was told."""
        self._look()
        self.record.append(Acknowledged(kind, what))

    # -- SQLite

    def _watch_sqlite(self, library: ctypes.CDLL) -> None:
        library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        system = library.sqlite3_vfs_find(None)
        self._system, self._open_there = system, _Open(system.contents.xOpen)
        self._delete_there = _Delete(system.contents.xDelete)
        vfs = _Vfs.from_buffer_copy(system.contents)
        vfs.zName = b"watched"
        vfs.xOpen, vfs.xDelete = self._pointer(_Open(self._open)), self._pointer(_Delete(self._delete))
        self._kept.append(vfs)
        if library.sqlite3_vfs_register(ctypes.byref(vfs), 1) != _OK:
            raise RuntimeError("SQLite did not take the VFS that watches it")

    def _pointer(self, function: Any) -> int | None:
        self._kept.append(function)
        return cast(function, c_void_p).value

    def _open(self, _vfs: int, name: int | None, file: int, flags: int, out_flags: Any) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        watched = os.path.dirname(path) == self._folder and flags & (_MAIN_DB | _MAIN_JOURNAL | _WAL)
        if watched:
            self._named(os.path.basename(path), new_journal=not flags & _MAIN_DB and not os.path.exists(path))
        done: int = self._open_there(cast(self._system, c_void_p), name, file, flags, out_flags)
        if watched and done == _OK:
            self._of[file] = self._names[os.path.basename(path)]
            methods = c_void_p.from_address(file)
            assert methods.value is not None
            methods.value = ctypes.addressof(self._table(methods.value))
        return done

    def _named(self, name: str, *, new_journal: bool) -> None:
        if name in self._names:
            return
        self._count += 1
        self._names[name] = self._count
        if new_journal:
            self._new_journals.add(self._count)
        self.record.append(Made(name, self._count))

    def _table(self, original: int) -> _IoMethods:
        """The methods of a file, with ours for what changes it."""
        if original not in self._tables:
            table = _IoMethods.from_buffer_copy((ctypes.c_char * sizeof(_IoMethods)).from_address(original))
            table.xWrite = self._pointer(_Write(self._writing(_Write(table.xWrite))))
            table.xTruncate = self._pointer(_Truncate(self._truncating(_Truncate(table.xTruncate))))
            table.xSync = self._pointer(_Sync(self._syncing(_Sync(table.xSync))))
            self._tables[original] = table
        return self._tables[original]

    def _writing(self, there: Callable[..., int]) -> Callable[..., int]:
        def write(file: int, data: int, size: int, at: int) -> int:
            self.record.append(Written(self._of[file], at, ctypes.string_at(data, size)))
            return there(file, data, size, at)

        return write

    def _truncating(self, there: Callable[..., int]) -> Callable[..., int]:
        def truncate(file: int, size: int) -> int:
            self.record.append(Truncated(self._of[file], size))
            return there(file, size)

        return truncate

    def _syncing(self, there: Callable[..., int]) -> Callable[..., int]:
        def sync(file: int, flags: int) -> int:
            which, began = self._of[file], len(self.record)
            done = there(file, flags)
            if done == _OK:
                self.record.append(Synced(which, began))
                if which in self._new_journals:  # with its first sync SQLite's own VFS syncs the folder too
                    self._new_journals.discard(which)
                    self.record.append(NamesSynced())
            return done

        return sync

    def _delete(self, _vfs: int, name: bytes, sync_folder: int) -> int:
        path = os.fsdecode(name)
        done: int = self._delete_there(cast(self._system, c_void_p), name, sync_folder)
        if done == _OK and os.path.dirname(path) == self._folder and self._names.pop(os.path.basename(path), None):
            self.record.append(Unmade(os.path.basename(path)))
            if sync_folder:
                self.record.append(NamesSynced())
        return done

    # -- other files of the folder

    def _watch_fsync(self) -> None:
        there = os.fsync

        def fsync(descriptor: int) -> None:
            self._look()
            began, inode = len(self.record), os.fstat(descriptor).st_ino
            there(descriptor)
            if inode == os.stat(self._folder).st_ino:
                self.record.append(NamesSynced())
            elif inode in self._plain.values():
                self.record.append(Synced(self._files[inode], began))

        os.fsync = fsync

    def _look(self) -> None:
        """Note what has become of files that SQLite does not know, since the last look."""
        with self._looking:
            found = {entry.name: entry.inode() for entry in os.scandir(self._folder) if self._is_plain(entry.name)}
            for name in self._plain.keys() - found.keys():
                self.record.append(Unmade(name))
            for name, inode in list(found.items()):
                try:
                    content = Path(self._folder, name).read_bytes()
                except FileNotFoundError:  # gone since: a draft that got its real name
                    del found[name]
                    continue
                if inode not in self._plain.values():
                    self._count += 1
                    self._files[inode], self._known[inode] = self._count, b""
                if self._plain.get(name) != inode:
                    self.record.append(Made(name, self._files[inode]))
                self._note_content(inode, content)
            self._plain = found

    def _note_content(self, inode: int, new: bytes) -> None:
        old = self._known[inode]
        if new == old:
            return
        if len(new) < len(old):
            self.record.append(Truncated(self._files[inode], len(new)))
        same = next((place for place, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), len(old))
        if new[same:]:
            self.record.append(Written(self._files[inode], min(same, len(new)), new[same:]))
        self._known[inode] = new

    def _is_plain(self, name: str) -> bool:
        return name not in self._names and not name.endswith((".db", "-wal", "-shm", "-journal", ".lock"))

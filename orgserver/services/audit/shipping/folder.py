"""A folder as the place that the audit log is shipped to: such as one of another machine, or of a disk of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from orgserver.private_files import create, publish, staging_path
from orgserver.services.audit.shipping.parts import MAX_BYTES
from orgserver.services.audit.shipping.targets import Listed, TargetError

_LEFT_SECONDS = 3_600.0
"""What somebody who was killed left half written is removed after so long."""
_NO_FILE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENXIO})
"""No such name, a link to itself, or a socket."""


class Folder:
    """Writes beside a name and then links to it: nobody sees half a file, and none is replaced."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    async def list_files(self) -> list[Listed]:
        """Every file that is there."""
        return await asyncio.to_thread(self._list)

    async def read(self, name: str) -> bytes | None:
        """What is in a file; None where there is none of this name."""
        return await asyncio.to_thread(self._read, name)

    async def add(self, name: str, content: bytes) -> bool:
        """Put a new file there, on its disk; False where there is one of this name."""
        return await asyncio.to_thread(self._add, name, content)

    def _list(self) -> list[Listed]:
        files: list[Listed] = []
        try:
            with os.scandir(self._path) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.name.startswith("."):
                        self._remove_if_left(entry.name, status.st_mtime)
                    elif status.st_size:  # an empty one is a name that was taken, and whoever took it was killed
                        files.append(Listed(entry.name, status.st_size, status.st_mtime))
        except FileNotFoundError:
            raise TargetError(
                f"there is no folder {self._path}", hint="make it, or mount what it lies on; it is not made by itself"
            ) from None
        except OSError as error:
            raise self._refuse("read", error) from None
        return files

    def _remove_if_left(self, name: str, modified: float) -> None:
        if name.startswith((".events-", ".log.")) and time.time() - modified > _LEFT_SECONDS:
            with suppress(OSError):
                (self._path / name).unlink()

    def _read(self, name: str) -> bytes | None:
        try:
            return read_regular(self._path / name)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise self._refuse("read", error) from None

    def _add(self, name: str, content: bytes) -> bool:
        path = self._path / name
        staging = staging_path(path)
        try:
            with create(staging) as file:
                file.write(content)
            # Where a file system has no links, a name is first taken by an empty file: one that was left so is filled.
            publish(staging, path, replace=path.exists() and not path.stat().st_size)
        except FileExistsError:
            return False
        except OSError as error:
            raise self._refuse("written", error) from None
        finally:
            with suppress(OSError):
                staging.unlink(missing_ok=True)
        return True

    def _refuse(self, verb: str, error: OSError) -> TargetError:
        reason = (error.strerror or type(error).__name__).lower()
        return TargetError(
            f"{self._path} cannot be {verb}: {reason}", hint="check its permissions, its free space and its mount"
        )


def read_regular(path: Path) -> bytes | None:
    """A file, as far as one can be part of a log; None where the name is that of a folder, a pipe or a device.

    Whoever may write there is told of, and neither stops who ships nor fills its memory.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1) or None
    finally:
        os.close(descriptor)

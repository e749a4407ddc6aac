"""Reading the audit log where its disk has no room left: from a copy in memory, for even opening a store takes some."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from orgserver.cli.output import warn
from orgserver.cli.process import settings_of
from orgserver.config import Settings
from orgserver.model.errors import StoreError

T = TypeVar("T")
_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of our own is made in it
"""Where Linux keeps files in memory."""


async def readable(act: Callable[[Settings], Awaitable[T]]) -> T:
    """Do what only reads the store; on a full disk over a copy, which is thrown away."""
    from orgserver.store.backup import copy as copying  # noqa: PLC0415  # a shell that completes waits for none of it
    from orgserver.store.files import FREE_FLOOR  # noqa: PLC0415  # a shell that completes waits for none of it

    settings = settings_of()
    if settings.is_on_server:
        return await act(settings)
    database = settings.database_file
    try:
        return await act(settings)
    except StoreError as error:
        if not database.is_file() or shutil.disk_usage(database.parent).free >= FREE_FLOOR:
            raise
        with _elsewhere() as folder:
            copy = Path(folder) / database.name
            try:
                await asyncio.to_thread(copying.copy_to_read, database, copy)
            except (sqlite3.Error, OSError):
                raise error from None
            warn(f"{error}; this is read from a copy of it")
            return await act(settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{quote(str(copy))}"}))


def _elsewhere() -> tempfile.TemporaryDirectory[str]:
    """A folder of our own in memory, or where this machine has its temporary sqlite."""
    return tempfile.TemporaryDirectory(prefix="orgserver-", dir=_MEMORY if _MEMORY.is_dir() else None)

"""A task that one process at a time does for a store, such as carrying its audit log away.

Whoever has it holds the lock of a file, ``<database>.<task>``, which the kernel frees when its holder dies. Where
several machines share a store, its database has locks of sessions for the same question. It spares work, and nothing
more: what must happen once must rest on something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orgserver.model.errors import StoreError
from orgserver.store.processes.locks import LockFile


@asynccontextmanager
async def do_alone(beside: Path, task: str) -> AsyncIterator[bool]:
    """Whether this process may do the task now: False while another one does it. ``beside``: ``Database.beside``."""
    path = beside.with_name(f"{beside.name}.{task}")
    try:
        lock = await asyncio.to_thread(LockFile, path)
    except OSError as error:
        raise StoreError(f"the file {path} cannot be locked: {error.strerror}") from error
    try:
        yield lock.take_now()
    finally:
        lock.close()

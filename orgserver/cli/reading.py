"""Opening the store for commands that only read it: where there is none yet, they make none.

A store, and a master key for it, that came of looking would stand in the way of restoring a backup, and would make the
right key look like a wrong one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from orgserver.cli.support import app_of
from orgserver.config import Settings

if TYPE_CHECKING:
    from orgserver.app import App

_LOOK_SECONDS = 1.0


@asynccontextmanager
async def app_to_read(settings: Settings) -> AsyncIterator[App]:
    """Open everything for one command; where there is no store, over an empty one elsewhere that is thrown away."""
    if has_store(settings):
        async with app_of(settings) as app:
            yield app
        return
    with TemporaryDirectory(prefix="orgserver-") as folder:
        elsewhere: dict[str, Any] = {"home": Path(folder), "database_url": None}
        async with app_of(settings.model_copy(update=elsewhere | _own_key(settings))) as app:
            yield app


@asynccontextmanager
async def app_to_follow(settings: Settings) -> AsyncIterator[App]:
    """The same for a command that goes on with what is written: it waits until there is a store."""
    while not has_store(settings):  # noqa: ASYNC110  # another process makes it
        await asyncio.sleep(_LOOK_SECONDS)
    async with app_of(settings) as app:
        yield app


def _own_key(settings: Settings) -> dict[str, Any]:
    """A key in place of one that would be made; what the operator has set is read, for it may be wrong."""
    from pydantic import SecretStr  # noqa: PLC0415  # only where there is no store

    from orgserver.vault import system_keyring  # noqa: PLC0415  # as above
    from orgserver.vault.keys import Key  # noqa: PLC0415  # as above
    from orgserver.vault.ring import write_ring  # noqa: PLC0415  # as above

    prints_key = settings.master_key_command not in (None, system_keyring.COMMAND)
    if settings.master_key is not None or settings.master_key_file is not None or prints_key:
        return {}
    return {"master_key": SecretStr(write_ring([Key.new()]))}


def has_store(settings: Settings) -> bool:
    """Whether there is a store, in whatever state."""
    return os.path.lexists(settings.database_file)

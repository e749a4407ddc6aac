"""Stores that take no writes, for tests: an open store with a database in it that refuses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from orgserver.model.errors import StoreError
from orgserver.store.database import Database
from orgserver.store.session import Store
from orgserver.store.transaction import Change


class RefusingDatabase:
    """An open database that raises an error instead of writing, whenever ``refuses`` says so."""

    def __init__(self, database: Database, refuses: Callable[[], bool], error: Exception) -> None:
        self._database = database
        self._refuses = refuses
        self._error = error

    async def write(self, change: Change[Any], **limits: Any) -> Any:
        if self._refuses():
            raise self._error
        return await self._database.write(change, **limits)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def make_refusing(store: Store, refuses: Callable[[], bool] = lambda: True, error: Exception | None = None) -> Store:
    """The same open store for whoever must do without its writes; its audit log goes on."""
    error = error or StoreError("the store cannot be written: disk full")
    return replace(store, database=cast("Database", RefusingDatabase(store.database, refuses, error)))

"""The number that grows with each change of orgs, principals, grants, keys and policies, so that they are read anew."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy import select, update

from orgserver.store import tables
from orgserver.store.transaction import PreparedStatement, Transaction

VERSION = PreparedStatement(select(tables.store.c.catalog_version))


def changed_in(tx: Transaction) -> None:
    """Let every process notice that orgs, principals, grants, keys or policies are others now."""
    tx.connection.execute(update(tables.store).values(catalog_version=tables.store.c.catalog_version + 1))


class StoreReader(Protocol):
    """Reads the number and other single rows at each request over HTTP, as they are at that moment.

    What must act at the next request in every process is read with it: nothing it gives is older than the question.
    """

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""

    def read(self) -> int | None:
        """The number as it is now, if that takes no waiting; None where it must be asked for."""

    def read_of_turn(self) -> int | None:
        """The number as it was in this turn of the event loop, read once for all who ask in it; None as above.

        Whoever was woken before it was read asks for nothing later, and whoever is woken afterwards comes behind what
        forgets it. So this is for tasks, and not for what a transport calls in the midst of a turn.
        """

    def fetch(self, query: PreparedStatement, **values: Any) -> list[Any] | None:
        """The few rows of another query, as plain tuples, if that takes no waiting; None as above."""

    async def ask_version(self) -> int:
        """The number, not older than this question; StoreError where the store cannot be read."""

    async def ask(self, query: PreparedStatement, **values: Any) -> list[Any]:
        """The few rows of another query, not older than this question; StoreError where the store cannot be read."""

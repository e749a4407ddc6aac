"""The number that grows with each change of orgs, principals, grants, keys and policies, so that they are read anew.

Beside it stands of what the last changes were, so that of ten thousand orgs the one is read that changed. A version of
which nothing stands there, because an earlier orgserver or somebody by hand has made it, has everything read.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

from sqlalchemy import delete, insert, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.store import tables
from orgserver.store.transaction import GroupConflict, PreparedStatement, Transaction

VERSION = PreparedStatement(select(tables.store.c.catalog_version))


Kind = Literal["org", "connection", "principal", "people", "key"]
"""Of what a change was: of one org, of one connection, of one principal, of several, or of what proves who calls."""
_KEPT = 4_096
"""So many changes are remembered: whoever has read nothing since reads everything."""
_changes, _version = tables.catalog_changes, tables.store.c.catalog_version
_NUMBER = select(_version).scalar_subquery()
_STALE = delete(_changes).where(or_(_changes.c.version <= _NUMBER - _KEPT, _changes.c.version >= _NUMBER))


class CatalogChange(NamedTuple):
    """What was changed once."""

    kind: Kind
    name: str
    """The row id of an org, the id of a connection, or the name of a principal."""


def changed_in(tx: Transaction, kind: Kind | None = None, name: str = "") -> None:
    """Let every process notice that an org, a principal, or something else (None: anything) is another now."""
    tx.connection.execute(update(tables.store).values(catalog_version=_version + 1))
    tx.catalog_version = None
    if kind is not None:
        tx.connection.execute(_STALE)
        change = select(_version, literal(kind), literal(name))
        tx.connection.execute(insert(_changes).from_select(["version", "kind", "name"], change))


def has_version_in(tx: Transaction, version: int) -> bool:
    """Whether this is the number, as the group of changes has left it so far.

    A group on a server does not ask, but assumes one number for all: its last statement reads it.
    """
    if not tx.is_careful and tx.catalog_version is None and tx.assumed_version in (None, version):
        tx.assumed_version = version
        return True
    if tx.catalog_version is None:
        tx.catalog_version = int(tx.fetch(VERSION)[0][0])
    return tx.catalog_version == version


def check_version_in(tx: Transaction) -> None:
    """GroupConflict if the number is not the one that was assumed; for a group that ends without that statement."""
    if tx.assumed_version is not None and tx.fetch(VERSION)[0][0] != tx.assumed_version:
        raise GroupConflict


async def read_changes(connection: AsyncConnection, since: int | None) -> tuple[int, frozenset[CatalogChange] | None]:
    """The version, and what was changed since another; None where that is not known."""
    version = int((await connection.execute(select(_version))).scalar_one())
    if since is None or not since <= version <= since + _KEPT:
        return version, None
    later = select(_changes.c.kind, _changes.c.name).where(_changes.c.version > since)
    rows = (await connection.execute(later)).all() if version > since else []
    return version, frozenset(map(CatalogChange._make, rows)) if len(rows) == version - since else None


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

"""Changes of orgs and people that are tried over a copy of the store in memory, and never made.

The store's own writer is not asked: a rehearsal of thousands of changes would keep every server waiting that shares it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, create_engine, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from orgserver.model.errors import StoreError
from orgserver.store import tables
from orgserver.store.database import Database
from orgserver.store.people import tables as people_tables
from orgserver.store.signin import tables as signin_tables
from orgserver.store.transaction import DriverConnection, Transaction

T = TypeVar("T")
_COPIED = (
    *(tables.store, tables.audit_head, tables.orgs),
    *(people_tables.principals, people_tables.groups),
    *(people_tables.group_members, people_tables.claim_members, people_tables.grants),
    *(people_tables.api_keys, people_tables.subjects),
    *(signin_tables.requests, signin_tables.sessions),
)
"""Each after those that its rows refer to. Of the log there is its head alone, of credentials nothing."""
_Rows = Sequence[tuple[Table, Sequence[dict[str, Any]]]]


async def rehearse(database: Database, change: Callable[[Transaction], T]) -> T:
    """What a change of orgs or people returns, or raises, over the store as it is now. It leaves nothing."""
    rows = await database.scan(_read)
    return await asyncio.to_thread(_run, rows, change, database.clock())


def _read(connection: Connection) -> _Rows:
    with connection.begin():  # one snapshot
        return [(table, [row._asdict() for row in connection.execute(select(table))]) for table in _COPIED]


def _run(rows: _Rows, change: Callable[[Transaction], T], now: int) -> T:
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"cached_statements": 256})
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            signin_tables.metadata.create_all(connection)
            for table, values in rows:
                if values:
                    connection.execute(insert(table), values)
            return change(Transaction(DriverConnection(connection), now))
    except DBAPIError as error:
        raise StoreError(f"the changes cannot be tried over a copy of the store: {error.orig}") from error
    finally:
        engine.dispose()

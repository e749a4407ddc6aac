"""The rows of a store, copied a page at a time, and compared.

A table goes on from the last key that the copy has: so nothing else need be remembered of how far it came. What changed
at the source meanwhile is noticed when both are compared, and the table is copied anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
)

from orgserver.model.errors import StoreError
from orgserver.store import tables
from orgserver.store.moving.places import Place
from orgserver.store.signin import tables as signin_tables
from orgserver.store.sql.values import storable

_PAGE = 500
_OF_THE_LIVING = {tables.store.name, tables.processes.name, tables.writers.name}
"""The row that makes a store of a database is written last; of processes none lives."""
SEARCH_TABLES = (tables.audit_entries, tables.audit_touched, tables.audit_indexed)
"""What each copy makes from its events by itself (``search_tables``)."""
Step = Callable[[str, int], None]
"""Told of each page: the table, and how many rows of it have been read."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a table."""

    rows: int
    digest: str


def copied_tables() -> list[Table]:
    """The tables whose rows are copied, each after those that its rows refer to."""
    left_out = _OF_THE_LIVING | {table.name for table in SEARCH_TABLES}
    return [table for table in signin_tables.metadata.sorted_tables if table.name not in left_out]


def copy_table(source: Place, target: Place, table: Table, step: Step) -> Contents:
    """Copy what the target does not have yet; StoreError if it does not have the same in the end."""
    for _ in range(2):
        _copy_rest(source, target, table, step)
        with source.using() as connection:
            wanted = read_contents(connection, table, is_for_server=target.is_server)
        with target.changing() as connection:
            if read_contents(connection, table, is_for_server=target.is_server) == wanted:
                return wanted
            connection.execute(delete(table))  # it was copied in part before, and changed at the source since
    raise StoreError(
        f"what was written to {target.address} is not what stands in {source.address}: the table {table.name} differs",
        hint="the store stays where it is; run orgserver doctor",
    )


def _copy_rest(source: Place, target: Place, table: Table, step: Step) -> None:
    with target.using() as connection:
        last = _last_key(connection, table)
    copied = 0
    with source.using() as reading:
        pages = read_pages(reading, table, last)
    while True:
        with source.using():
            page = next(pages, None)
        if page is None:
            return
        with target.changing() as connection:
            connection.execute(insert(table), _values(page, is_for_server=target.is_server))
        copied += len(page)
        step(table.name, copied)


def read_pages(
    connection: Connection, table: Table, after: Sequence[Any] | None = None
) -> Iterator[Sequence[Row[Any]]]:
    """The rows in the order of their keys, after one or all."""
    key = [*table.primary_key.columns]
    query = select(table).order_by(*key).limit(_PAGE)
    while True:
        page = connection.execute(query if after is None else query.where(_is_after(key, after))).all()
        if not page:
            return
        yield page
        after = [page[-1]._mapping[column] for column in key]  # noqa: SLF001  # the documented name


def _is_after(key: list[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    bound = [bindparam(None, value, type_=column.type) for column, value in zip(key, values, strict=True)]
    return key[0] > bound[0] if len(key) == 1 else tuple_(*key) > tuple_(*bound)


def _last_key(connection: Connection, table: Table) -> list[Any] | None:
    key = [*table.primary_key.columns]
    row = connection.execute(select(*key).order_by(*(column.desc() for column in key)).limit(1)).first()
    return None if row is None else list(row)


def _values(page: Sequence[Row[Any]], *, is_for_server: bool) -> list[dict[str, Any]]:
    rows = [row._asdict() for row in page]
    if is_for_server:
        for row in rows:
            row.update({name: storable(value) for name, value in row.items() if isinstance(value, str)})
    return rows


def read_contents(connection: Connection, table: Table, *, is_for_server: bool = False) -> Contents:
    """How many rows there are, and a digest of them all: a sum, for keys may be ordered otherwise where they go."""
    total, count = 0, 0
    encode = msgspec.msgpack.Encoder().encode
    for page in read_pages(connection, table):
        count += len(page)
        encoded = (encode([*row.values()]) for row in _values(page, is_for_server=is_for_server))
        total += sum(int.from_bytes(hashlib.sha256(row).digest(), "big") for row in encoded)
    return Contents(count, f"{total % 2**256:064x}")


def count_rows(connection: Connection, table: Table) -> int:
    """How many rows a table has."""
    return connection.execute(select(func.count()).select_from(table)).scalar_one()

"""Many rows in one statement to a server: a list of values for each column, which it reads as an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, Insert, Table, bindparam, func, insert, select


def insert_arrays(table: Table) -> Insert:
    """Insert as many rows into all columns of a table as ``arrays`` names values of."""
    arrays_of = (func.unnest(bindparam(_name(table, each.name), type_=ARRAY(each.type))) for each in table.columns)
    return insert(table).from_select([each.name for each in table.columns], select(*arrays_of))


def arrays(table: Table, rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """What ``insert_arrays`` takes for these rows, each of which has every column."""
    return {_name(table, each.name): [row[each.name] for row in rows] for each in table.columns}


def _name(table: Table, column: str) -> str:
    return f"{table.name}_{column}"

"""Changes of grants. One on an alias is bound to the org that has the alias now: it follows it, and ends with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from orgserver.model.access.principals import PERMISSIONS, Grant, Permission, Selector
from orgserver.model.names import RowId, new_id
from orgserver.store.catalog_version import changed_in
from orgserver.store.people import rows, tables
from orgserver.store.people.changes import Holder
from orgserver.store.transaction import Transaction, to_microseconds


def add_in(
    tx: Transaction,
    holder: Holder,
    name: str,
    selector: Selector,
    permissions: Iterable[Permission],
    *,
    row_id: RowId | None,
    until: datetime | None,
    by: str,
) -> None:
    """Write a new grant of a principal or a group."""
    values = {
        "id": new_id(),
        holder: name,
        "selector": selector.text,
        "row_id": row_id,
        "permissions": _column(permissions),
        "until": to_microseconds(until) if until else None,
        "created_at": tx.now,
        "created_by": by,
    }
    tx.connection.execute(insert(tables.grants).values(values))
    _holder_changed_in(tx, name if holder == "principal" else None)


def replace_in(
    tx: Transaction, grant_id: str, permissions: Iterable[Permission], *, until: datetime | None, by: str
) -> None:
    """Give a grant other permissions and another end; it is a new one in all but its id."""
    values = {
        "permissions": _column(permissions),
        "until": to_microseconds(until) if until else None,
        "created_at": tx.now,
        "created_by": by,
    }
    tx.connection.execute(update(tables.grants).where(tables.grants.c.id == grant_id).values(values))
    _holder_changed_in(tx, _principal_in(tx, grant_id))


def remove_in(tx: Transaction, grant_id: str) -> None:
    """Take a grant back."""
    principal = _principal_in(tx, grant_id)
    tx.connection.execute(delete(tables.grants).where(tables.grants.c.id == grant_id))
    _holder_changed_in(tx, principal)


def of_org_in(tx: Transaction, row_id: RowId) -> list[Grant]:
    """The grants that are bound to an org, and end with it."""
    own = select(tables.grants).where(tables.grants.c.row_id == row_id).order_by(tables.grants.c.id)
    return [rows.read_grant(row) for row in tx.connection.execute(own)]


def _principal_in(tx: Transaction, grant_id: str) -> str | None:
    """Who has a grant, if it is a principal's own."""
    return tx.connection.execute(select(tables.grants.c.principal).where(tables.grants.c.id == grant_id)).scalar()


def _holder_changed_in(tx: Transaction, principal: str | None) -> None:
    """A group's grants are those of everybody in it."""
    if principal is not None:
        changed_in(tx, "principal", principal)
    else:
        changed_in(tx, "people")


def _column(permissions: Iterable[Permission]) -> str:
    every = frozenset(permissions)
    return json.dumps([permission for permission in PERMISSIONS if permission in every])

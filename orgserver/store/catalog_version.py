"""The number that grows with every change of orgs, principals, grants and policies, so that they are read anew."""

from __future__ import annotations

from sqlalchemy import update

from orgserver.store import tables
from orgserver.store.transaction import Transaction


def changed_in(tx: Transaction) -> None:
    """Let every process notice that orgs, principals, grants or policies are others now."""
    tx.connection.execute(update(tables.store).values(catalog_version=tables.store.c.catalog_version + 1))

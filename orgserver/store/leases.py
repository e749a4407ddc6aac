"""Who may refresh an org's token right now: one holder among all processes on the store.

Taking a lease is a durable write, which also proves that the store accepts writes before a token is spent.
"""

from __future__ import annotations

from sqlalchemy import delete, insert, or_, select

from orgserver.store import tables
from orgserver.store.writer import Transaction


def take_in(tx: Transaction, row_id: str, holder: str, life_us: int) -> bool:
    """Take the lease for so many microseconds; False while somebody else holds it.

    A lease that ends later than any lease can is of a clock that was set back since, and does not count.
    """
    leases = tables.leases
    over = or_(leases.c.expires_at <= tx.now, leases.c.expires_at > tx.now + life_us, leases.c.holder == holder)
    tx.connection.execute(delete(leases).where(leases.c.row_id == row_id, over))
    if tx.connection.execute(select(leases.c.holder).where(leases.c.row_id == row_id)).first() is not None:
        return False
    tx.connection.execute(insert(leases).values(row_id=row_id, holder=holder, expires_at=tx.now + life_us))
    return True


def release_in(tx: Transaction, row_id: str, holder: str) -> None:
    """Give the lease up; somebody else's stays."""
    leases = tables.leases
    tx.connection.execute(delete(leases).where(leases.c.row_id == row_id, leases.c.holder == holder))

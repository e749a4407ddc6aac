"""Who may refresh an org's token right now: one holder among all processes on the store.

Taking a lease is a durable write, which also proves that the store accepts writes before a token is spent. The row
says ``sent`` from before a refresh token leaves until its answer is stored: whoever comes after a crash, or after an
answer that was lost, knows by it that Salesforce may have rotated that token.

    row: org · holder · expires_at · fencing (of the refresh token that is sent) · sent_at
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from orgserver.store import tables
from orgserver.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was taken."""

    holder: str
    taken_at: int
    """Microseconds since 1970 UTC."""
    doubted_since: int | None
    """When an earlier holder sent this very refresh token without storing an answer."""


def take_in(
    tx: Transaction,
    row_id: str,
    holder: str,
    life_us: int,
    fencing: int = 0,
    is_alive: Callable[[str], bool] = lambda _holder: True,
) -> Lease | str:
    """Take the lease for so many microseconds; the name of its holder while somebody else has it.

    ``fencing`` is that of the credential now: what an earlier holder sent of an older one is settled.
    A lease that ends later than any lease can is of a clock that was set back since, and does not count; nor does that
    of a holder who has died. What a dead holder had sent is as much in doubt as ever.
    """
    leases = tables.leases
    row = tx.connection.execute(select(leases).where(leases.c.row_id == row_id)).first()
    if (
        row is not None
        and row.holder != holder
        and tx.now < row.expires_at <= tx.now + life_us
        and is_alive(row.holder)
    ):
        return str(row.holder)
    doubted = row.sent_at if row is not None and row.fencing == fencing else None
    tx.connection.execute(delete(leases).where(leases.c.row_id == row_id))
    tx.connection.execute(
        insert(leases).values(
            row_id=row_id, holder=holder, expires_at=tx.now + life_us, fencing=fencing, sent_at=doubted
        )
    )
    return Lease(holder, tx.now, doubted)


def sending_in(tx: Transaction, row_id: str, holder: str) -> None:
    """Write down, before it happens, that the refresh token is sent."""
    leases = tables.leases
    tx.connection.execute(
        update(leases).where(leases.c.row_id == row_id, leases.c.holder == holder).values(sent_at=tx.now)
    )


def release_in(tx: Transaction, row_id: str, holder: str, *, doubted: bool = False) -> None:
    """Give the lease up; somebody else's stays. ``doubted`` leaves on record that something was sent."""
    leases = tables.leases
    mine = (leases.c.row_id == row_id, leases.c.holder == holder)
    if doubted:
        tx.connection.execute(update(leases).where(*mine).values(expires_at=tx.now))
    else:
        tx.connection.execute(delete(leases).where(*mine))


def settle_in(tx: Transaction, row_id: str, fencing: int) -> None:
    """End every lease on this or an older refresh token: its answer has been stored after all."""
    leases = tables.leases
    tx.connection.execute(delete(leases).where(leases.c.row_id == row_id, leases.c.fencing <= fencing))

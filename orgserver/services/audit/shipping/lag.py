"""How far what is shipped is behind the log."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from orgserver.store import tables
from orgserver.store.audit import chain

SHIP = "audit ship"
"""What entries about shipping name as their tool."""
_FEW = 8
"""So many events after the last part may be those that shipping itself leaves in the log."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What is in the log and not away yet: how many events, and for how long the first of them has been there."""

    events: int = 0
    seconds: float = 0.0


NO_LAG = Lag()


def read_lag(connection: Connection, last: int, now: int) -> Lag:
    """The lag after a sequence; none where all that is new there came of shipping."""
    events = tables.audit_events.c
    query = select(events.sequence, events.entry_id, events.kind, events.time, events.tool)
    with connection.begin():
        head: int = connection.execute(select(tables.audit_head.c.sequence)).scalar_one()
        rows = connection.execute(query.where(events.sequence > last).order_by(events.sequence).limit(_FEW)).all()
    own = {row.entry_id for row in rows if row.tool == SHIP}
    new = [row for row in rows if row.kind != chain.CHECKPOINT and row.entry_id not in own]
    if not new and head - last <= _FEW:
        return NO_LAG
    first = min((row.time for row in new or rows), default=now)
    return Lag(max(0, head - last), max(0, now - first) / 1_000_000)

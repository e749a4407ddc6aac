"""Which processes are alive, and which intents nobody is left to end: rows of ``processes`` and ``audit_pending``."""

from __future__ import annotations

from functools import partial

from sqlalchemy import ARRAY, Text, any_, bindparam, delete, insert, or_, select, update

from orgserver.model.names import new_id
from orgserver.store import tables
from orgserver.store.files import SCHEMA
from orgserver.store.transaction import GroupConflict, PreparedStatement, Transaction

_pending = tables.audit_pending
_processes = tables.processes
_RENEW = PreparedStatement(
    update(_pending).where(_pending.c.entry_id == bindparam("entry")).values(deadline=bindparam("until"))
)
_END = PreparedStatement(delete(_pending).where(_pending.c.entry_id == bindparam("entry")))
REMOVE_PENDING = delete(_pending).where(_pending.c.entry_id == any_(bindparam("entries", type_=ARRAY(Text))))
"""Takes those off the list that ``ended_in`` names."""
_END_ALL = PreparedStatement(REMOVE_PENDING)
"""For a server, to which each statement is a way."""


class Heartbeat:
    """The row that says, now and then, that this process is alive."""

    def __init__(self, interval_us: int, abandoned_us: int) -> None:
        self.process_id = new_id()
        self.interval_us = interval_us
        self.abandoned_us = abandoned_us
        self.beat_at = 0
        """When the row was last written for good; 0 while there is none."""

    def beat_in(self, tx: Transaction) -> None:
        """Say that this process is alive, once in a group; a group that is taken back has not said it."""
        if tx.state.get("has_beaten"):
            return
        tx.state["has_beaten"] = True
        own = update(_processes).where(_processes.c.id == self.process_id).values(heartbeat_at=tx.now, schema=SCHEMA)
        if tx.connection.execute(own).rowcount == 0:
            row = {"id": self.process_id, "started_at": tx.now, "heartbeat_at": tx.now, "schema": SCHEMA}
            tx.connection.execute(insert(_processes).values(row))
        tx.after_commit.append(partial(setattr, self, "beat_at", tx.now))

    def renew_in(self, tx: Transaction, entry_id: str, deadline: int) -> bool:
        """Give an intent another deadline; False if it is not pending any more."""
        return entry_id not in ended_in(tx) and tx.execute(_RENEW, {"entry": entry_id, "until": deadline}) > 0

    def end_in(self, tx: Transaction, entry_id: str) -> bool:
        """Take an intent off those that wait for their outcome; False if somebody did so before."""
        if tx.is_careful:
            return tx.execute(_END, {"entry": entry_id}) > 0
        ended = ended_in(tx)
        if entry_id in ended:
            return False
        ended.add(entry_id)  # whoever moves the head takes them all off
        return True

    def leave_in(self, tx: Transaction) -> None:
        """Take this process off the list."""
        tx.connection.execute(delete(_processes).where(_processes.c.id == self.process_id))

    def find_abandoned_in(self, tx: Transaction) -> list[str]:
        """Entries whose process is silent, or whose deadline is long past."""
        _end_all(tx)
        silent = tx.now - self.abandoned_us
        abandoned = (
            select(_pending.c.entry_id)
            .join_from(_pending, _processes, _pending.c.process_id == _processes.c.id, isouter=True)
            .where(or_(_processes.c.id.is_(None), _processes.c.heartbeat_at < silent, _pending.c.deadline < silent))
        )
        return list(tx.connection.execute(abandoned).scalars())

    def forget_silent_in(self, tx: Transaction) -> None:
        """Take processes off the list that are silent and have nothing pending."""
        silent = _processes.c.heartbeat_at < tx.now - self.abandoned_us
        idle = _processes.c.id.not_in(select(_pending.c.process_id))
        tx.connection.execute(delete(_processes).where(silent, idle))


def ended_in(tx: Transaction) -> set[str]:
    """What changes of this group took off the list, while the list still has it."""
    ended: set[str] = tx.state.setdefault("ended", set())
    return ended


def _end_all(tx: Transaction) -> None:
    ended = ended_in(tx)
    if ended and tx.execute(_END_ALL, {"entries": list(ended)}) != len(ended):
        raise GroupConflict
    ended.clear()

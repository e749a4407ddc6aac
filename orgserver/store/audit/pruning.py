"""What may be pruned of the audit log, and pruning it.

A long cut is made in steps, each one transaction from checkpoint to checkpoint with a base of its own: the store
verifies after each, and calls wait for one step at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import OperatorError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.store import tables
from orgserver.store.audit import index
from orgserver.store.audit.base import Base, read_base, read_base_in
from orgserver.store.audit.holds import find_hold_in
from orgserver.store.audit.log import AuditLog
from orgserver.store.transaction import Transaction

STEP = 10_000
"""Events in one transaction, where checkpoints allow it."""
_base = tables.audit_base
_entries = tables.audit_entries
_events = tables.audit_events
_checkpoints = tables.audit_checkpoints


@dataclass(frozen=True, slots=True)
class Cut:
    """What would be pruned: everything up to a checkpoint."""

    base: Base
    """Where the chain begins now."""
    sequence: int
    note: str
    entries: int
    first_time: int
    last_time: int

    @property
    def events(self) -> int:
        """How many events are removed."""
        return self.sequence - self.base.sequence


async def plan(connection: AsyncConnection, store_id: str, before: int) -> Cut | None:
    """The longest cut of events before an instant that ends at a checkpoint and parts no entry; None if there is none.

    The search tables must have been caught up.
    """
    base = await read_base(connection, store_id)
    younger = select(_events.c.sequence).where(_events.c.time >= before).order_by(_events.c.sequence).limit(1)
    limit = (await connection.execute(younger)).scalar()
    while True:
        newest = select(_checkpoints).where(_checkpoints.c.sequence > base.sequence)
        if limit is not None:
            newest = newest.where(_checkpoints.c.sequence < limit)
        at = (await connection.execute(newest.order_by(_checkpoints.c.sequence.desc()).limit(1))).first()
        if at is None:
            return None
        limit = (
            await connection.execute(select(func.min(_entries.c.sequence)).where(*_parted_by(at.sequence)))
        ).scalar()
        if limit is None:
            break
    counted = select(func.count()).where(_entries.c.sequence <= at.sequence).select_from(_entries)
    span = select(func.min(_events.c.time), func.max(_events.c.time)).where(_events.c.sequence <= at.sequence)
    first, last = (await connection.execute(span)).one()
    entries = (await connection.execute(counted)).scalar_one()
    return Cut(base, at.sequence, at.note, entries, first, last)


def _parted_by(sequence: int) -> tuple[Any, ...]:
    """Entries that begin up to a sequence and do not end there."""
    ended = _entries.c.outcome_sequence
    return _entries.c.sequence <= sequence, or_(ended.is_(None), ended > sequence)


def refuse_for_hold(name: str) -> OperatorError:
    """The refusal of a cut that a hold covers."""
    return OperatorError(
        f"the hold {name!r} covers entries that old, so nothing was pruned",
        hint=f"orgserver audit hold {name} --release lifts it; an earlier --before may leave them out",
    )


def step_in(tx: Transaction, log: AuditLog, caller: Caller, began: int, cut: int, step: int = STEP) -> int:
    """Prune the next step of a cut: give the sequence of the new base. OperatorError if somebody came between."""
    connection = tx.connection
    base = read_base_in(connection, log.store_id)
    if base.sequence != began:
        raise OperatorError("the audit log is being pruned by somebody else", hint="look with: orgserver audit list")
    name = find_hold_in(connection, cut)
    if name is not None:
        raise refuse_for_hold(name)
    at = _find_step_end(connection, base.sequence, cut, step)
    here = select(func.count()).where(_entries.c.sequence <= at).select_from(_entries)
    removed = int(connection.execute(here).scalar_one())
    hash_ = connection.execute(select(_events.c.hash).where(_events.c.sequence == at)).scalar_one()
    _remove(connection, base.sequence, at)
    moved = Base(at, hash_, base.intents + removed)
    note = log.signer.sign(moved.text(log.signer.origin))
    row = {"sequence": at, "hash": hash_, "intents": moved.intents, "time": tx.now, "note": note}
    connection.execute(delete(_base))
    connection.execute(insert(_base).values(id=1, **row))
    intent = Intent(
        new_id(),
        caller.principal.name,
        caller.transport,
        Action.PRUNE,
        "audit prune",
        label=moved.label,
        fields=(caller.label,) if caller.label else (),  # a person's yes was given; the label is the base's
    )
    log.record_in(tx, intent, Completion(Outcome.SUCCEEDED, row_count=removed))
    return at


def _find_step_end(connection: Connection, began: int, cut: int, step: int) -> int:
    """Where the next step ends: at a checkpoint that parts no entry, near the step's size."""
    inside = _checkpoints.c.sequence.between(began + 1, cut)
    sequences = connection.execute(
        select(_checkpoints.c.sequence).where(inside).order_by(_checkpoints.c.sequence)
    ).scalars()
    near: list[int] = []
    far: list[int] = []
    for sequence in sequences:
        (near if sequence <= began + step else far).append(sequence)
    for sequence in (*reversed(near), *far):
        if not connection.execute(select(exists().where(*_parted_by(sequence)))).scalar():
            return sequence
    raise OperatorError("the audit log changed meanwhile", hint="run it again")


def _remove(connection: Connection, after: int, upto: int) -> None:
    gone = _entries.c.sequence <= upto
    connection.execute(index.UNTOUCH.on(connection), {"after": after, "upto": upto})
    values = tables.kept_values
    connection.execute(delete(values).where(values.c.entry_id.in_(select(_entries.c.entry_id).where(gone))))
    connection.execute(delete(_entries).where(gone))
    connection.execute(delete(_events).where(_events.c.sequence <= upto))
    connection.execute(delete(_checkpoints).where(_checkpoints.c.sequence < upto))  # the chain goes on to name this one

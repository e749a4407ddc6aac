r"""Where does the chain begin, now that older entries were pruned, and what may be pruned?

The base is one row (``audit_base``): the sequence and hash of the last event that was removed, and a signed note over
``orgserver/<store id>\n<sequence>\n<base64 hash>\nbase\n<entries removed so far>\n``. The chain itself names each base
in an entry with the action ``prune``, whose label is ``pruned to <sequence> <hash>, <count> entries so far``.

A long cut is made in steps, each one transaction from checkpoint to checkpoint with a base of its own: the store
verifies after each, and calls wait for one step at most.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import OperatorError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.store import tables
from orgserver.store.audit import chain, index
from orgserver.store.audit.log import AuditLog
from orgserver.store.times import to_microseconds
from orgserver.store.transaction import Transaction
from orgserver.vault.signed_notes import BadNote, Verifier, as_signed

STEP = 10_000
"""Events in one transaction, where checkpoints allow it."""
_base = tables.audit_base
_entries = tables.audit_entries
_events = tables.audit_events
_holds = tables.audit_holds
_checkpoints = tables.audit_checkpoints
_UNTOUCH = text(f"""
    DELETE FROM audit_touched WHERE (record_id, sequence) IN (SELECT record_id, sequence FROM ({index.TOUCHED}))
""")  # noqa: S608  # our own text


@dataclass(frozen=True, slots=True)
class Base:
    """The last event that was removed; sequence 0 where nothing was."""

    sequence: int
    hash: bytes
    intents: int = 0
    """Entries removed so far."""
    note: str = ""
    time: int = 0
    """When it was made; what names it in the chain says the same."""

    def text(self, origin: str) -> str:
        """What is signed."""
        return f"{origin}\n{self.sequence}\n{base64.b64encode(self.hash).decode()}\nbase\n{self.intents}\n"

    @property
    def label(self) -> str:
        """How the chain names it."""
        return f"pruned to {self.sequence} {self.hash.hex()}, {self.intents} entries so far"

    def named_by(self, canonical: object, time: int) -> bool:
        """Whether an event with these canonical bytes and this time is the one that names it."""
        return time == self.time and isinstance(canonical, bytes) and f'"label":"{self.label}"'.encode() in canonical


@dataclass(frozen=True, slots=True)
class Hold:
    """Entries that may not be pruned: those that meet every criterion given, all of them if none is."""

    name: str
    principal: str
    time: int
    org: str | None = None
    record_id: str | None = None
    since: int | None = None
    until: int | None = None


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


# -- the base


def _of(rows: Sequence[Row[Any]], store_id: str) -> Base:
    if not rows:
        return Base(0, chain.genesis(store_id))
    row = rows[0]
    sound = type(row.sequence) is type(row.intents) is int and type(row.hash) is bytes and type(row.note) is str
    if len(rows) > 1 or row.id != 1 or not sound or row.sequence < 1:
        return Base(0, chain.genesis(store_id), note="?")
    return Base(row.sequence, row.hash, row.intents, row.note, row.time)


def base_of(connection: Connection, store_id: str) -> Base:
    """Where the chain begins."""
    return _of(connection.execute(select(_base)).all(), store_id)


async def read_base(connection: AsyncConnection, store_id: str) -> Base:
    """Where the chain begins."""
    return _of((await connection.execute(select(_base))).all(), store_id)


def wrong_with(connection: Connection, base: Base, verifier: Verifier) -> tuple[int, str] | None:
    """What is wrong with a base, or with what stands before it, and at which sequence; None if nothing is."""
    if not base.sequence:
        return (1, "the base of the log was changed") if base.note else None
    try:
        told = verifier.check(base.note)
    except BadNote as bad:
        return base.sequence, f"the base at entry {base.sequence} was forged: {bad}"
    if told != base.text(verifier.origin) or not as_signed(base.note, verifier.origin, told):
        return base.sequence, f"the base at entry {base.sequence} was moved"
    for column in (_events.c.sequence, _entries.c.sequence):
        first = connection.execute(select(func.min(column)).where(column <= base.sequence)).scalar()
        if first is not None:
            return int(first), f"entry {first} was put before the base at entry {base.sequence}"
    return None


def is_named(connection: Connection, base: Base) -> bool:
    """Whether an entry that is found by its action names this base. The chain itself is for its reader to check."""
    found = (
        select(_events.c.canonical, _events.c.time)
        .join(_entries, _entries.c.sequence == _events.c.sequence)
        .where(_entries.c.action == Action.PRUNE, _events.c.kind == chain.INTENT, _events.c.time == base.time)
    )
    return any(base.named_by(row.canonical, row.time) for row in connection.execute(found))


# -- what may be cut


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


async def holds(connection: AsyncConnection) -> list[Hold]:
    """Every hold, by name."""
    return [Hold(*row) for row in (await connection.execute(select(_holds).order_by(_holds.c.name))).all()]


async def held(connection: AsyncConnection, upto: int) -> str | None:
    """The name of a hold that covers an entry up to a sequence."""
    return await connection.run_sync(lambda sync: _held(sync, upto))


def _held(connection: Connection, upto: int) -> str | None:
    return covering(connection, _entries.c.sequence <= upto)


def covering(connection: Connection, which: ColumnElement[bool]) -> str | None:
    """The name of a hold that covers one of these rows of ``audit_entries``."""
    for row in connection.execute(select(_holds).order_by(_holds.c.name)).all():
        hold = Hold(*row)
        covered = select(_entries.c.sequence).where(which)
        if hold.org is not None:
            covered = covered.where(_entries.c.org == index.folded(hold.org))
        if hold.since is not None:
            covered = covered.where(_entries.c.time >= hold.since)
        if hold.until is not None:
            covered = covered.where(_entries.c.time < hold.until)
        if hold.record_id is not None:
            touched = tables.audit_touched
            covered = covered.join(touched, touched.c.sequence == _entries.c.sequence)
            covered = covered.where(touched.c.record_id == hold.record_id)
        if connection.execute(covered.limit(1)).first() is not None:
            return hold.name
    return None


def refuse_held(name: str) -> OperatorError:
    """The refusal of a cut that a hold covers."""
    return OperatorError(
        f"the hold {name!r} covers entries that old, so nothing was pruned",
        hint=f"orgserver audit hold {name} --release lifts it; an earlier --before may leave them out",
    )


# -- changes within a transaction


def hold_in(tx: Transaction, log: AuditLog, caller: Caller, name: str, wanted: EntryFilter) -> bool:
    """Place a hold, on record; False if there is one of this name."""
    if tx.connection.execute(select(_holds.c.name).where(_holds.c.name == name)).first() is not None:
        return False
    since = to_microseconds(wanted.since) if wanted.since is not None else None
    until = to_microseconds(wanted.until) if wanted.until is not None else None
    hold = Hold(name, caller.principal.name, tx.now, wanted.org, wanted.record_id, since, until)
    tx.connection.execute(insert(_holds).values(**{column.name: getattr(hold, column.name) for column in _holds.c}))
    record_ids = (wanted.record_id,) if wanted.record_id is not None else ()
    _record(tx, log, caller, tool="audit hold", label=name, org=wanted.org, record_ids=record_ids)
    return True


def release_in(tx: Transaction, log: AuditLog, caller: Caller, name: str) -> bool:
    """Lift a hold, on record; False if there is none of this name."""
    if tx.connection.execute(delete(_holds).where(_holds.c.name == name)).rowcount == 0:
        return False
    _record(tx, log, caller, tool="audit hold --release", label=name)
    return True


def step_in(tx: Transaction, log: AuditLog, caller: Caller, began: int, cut: int) -> int:
    """Prune the next step of a cut: give the sequence of the new base. OperatorError if somebody came between."""
    connection = tx.connection
    base = base_of(connection, log.store_id)
    if base.sequence != began:
        raise OperatorError("the audit log is being pruned by somebody else", hint="look with: orgserver audit list")
    name = _held(connection, cut)
    if name is not None:
        raise refuse_held(name)
    at = _next(connection, base.sequence, cut)
    here = select(func.count()).where(_entries.c.sequence <= at).select_from(_entries)
    removed = int(connection.execute(here).scalar_one())
    hash_ = connection.execute(select(_events.c.hash).where(_events.c.sequence == at)).scalar_one()
    _remove(connection, base.sequence, at)
    moved = Base(at, hash_, base.intents + removed)
    note = log.signer.sign(moved.text(log.signer.origin))
    row = {"sequence": at, "hash": hash_, "intents": moved.intents, "time": tx.now, "note": note}
    connection.execute(delete(_base))
    connection.execute(insert(_base).values(id=1, **row))
    how = (caller.label,) if caller.label else ()  # a person's yes was given; the label is the base's
    _record(tx, log, caller, tool="audit prune", action=Action.PRUNE, label=moved.label, fields=how, rows=removed)
    return at


def _next(connection: Connection, began: int, cut: int) -> int:
    """Where the next step ends: at a checkpoint that parts no entry, near the step's size."""
    inside = _checkpoints.c.sequence.between(began + 1, cut)
    found = connection.execute(
        select(_checkpoints.c.sequence).where(inside).order_by(_checkpoints.c.sequence)
    ).scalars()
    near: list[int] = []
    far: list[int] = []
    for sequence in found:
        (near if sequence <= began + STEP else far).append(sequence)
    for sequence in (*reversed(near), *far):
        if not connection.execute(select(exists().where(*_parted_by(sequence)))).scalar():
            return sequence
    raise OperatorError("the audit log changed meanwhile", hint="run it again")


def _remove(connection: Connection, after: int, upto: int) -> None:
    gone = _entries.c.sequence <= upto
    connection.execute(_UNTOUCH, {"after": after, "upto": upto})
    kept = tables.kept_values
    connection.execute(delete(kept).where(kept.c.entry_id.in_(select(_entries.c.entry_id).where(gone))))
    connection.execute(delete(_entries).where(gone))
    connection.execute(delete(_events).where(_events.c.sequence <= upto))
    connection.execute(delete(_checkpoints).where(_checkpoints.c.sequence < upto))  # the chain goes on to name this one


def _record(
    tx: Transaction,
    log: AuditLog,
    caller: Caller,
    *,
    action: Action = Action.POLICY,
    rows: int | None = None,
    **details: Any,
) -> None:
    intent = Intent(new_id(), caller.principal.name, caller.transport, action, **details)
    log.record_in(tx, intent, Completion(Outcome.SUCCEEDED, row_count=rows))

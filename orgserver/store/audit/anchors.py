"""The signed checkpoints through which the chain must pass: those in the store, and those that were kept elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Action
from orgserver.store import tables
from orgserver.vault.signed_notes import Checkpoint, Verifier, as_signed

_LOOK_BACK = 50
_events = tables.audit_events
Fail = Callable[[int, str], None]
"""Takes what is wrong, and at which sequence."""


@dataclass(slots=True)
class Anchors:
    """What is signed of a chain, and which checkpoints the chain itself names."""

    verifier: Verifier
    external: Sequence[Checkpoint] = ()
    """Checkpoints that were kept elsewhere."""
    hashes: dict[int, bytes] = field(default_factory=dict)
    """By sequence."""
    _claims: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By the sequence of a checkpoint: the event that names it, and the time of both."""

    def clear(self) -> None:
        """Begin again."""
        self.hashes.clear()
        self._claims.clear()

    def read(self, connection: Connection, fail: Fail) -> None:
        """Read the checkpoints: the chain must pass through each."""
        with connection.begin():
            first = connection.execute(select(_events.c.sequence).order_by(_events.c.sequence).limit(1)).scalar()
            rows = connection.execute(text("SELECT sequence, hash, note FROM audit_checkpoints")).all()
        if first is not None and first < 1:
            fail(first, f"entry {first} stands before the beginning of the chain")
        sequences = {row.sequence for row in rows}
        for row in rows:
            try:
                checkpoint = self.verifier.checkpoint(str(row.note))
            except ValueError as bad:  # BadNote, or text that no note can hold
                fail(int(row.sequence), f"the checkpoint of entry {row.sequence} was edited: {bad}")
                continue
            signed = as_signed(row.note, checkpoint.origin, checkpoint.text())
            if (checkpoint.sequence, checkpoint.hash) != (row.sequence, row.hash) or not signed:
                edited = row.sequence if checkpoint.sequence in sequences else min(row.sequence, checkpoint.sequence)
                fail(edited, f"the checkpoint of entry {edited} was edited")
            self.hashes[checkpoint.sequence] = checkpoint.hash
        for each in self.external:
            self.hashes[each.sequence] = each.hash

    def add_claim(self, number: int, time: int, canonical: bytes) -> None:
        """Take in an event that names a checkpoint."""
        self._claims[int(json.loads(canonical)["sequence"])] = number, time

    def check_claims(self, connection: Connection, began: int, end: int, fail: Fail) -> None:
        """The checkpoints are those that the chain names; each that was kept elsewhere must be in the chain."""
        rows = connection.execute(text("SELECT sequence, time FROM audit_checkpoints"))
        times: dict[int, object] = {row.sequence: row.time for row in rows}
        for sequence, (event, time) in self._claims.items():
            if sequence not in times:
                fail(event, f"the checkpoint of entry {sequence} was removed")
            elif times[sequence] != time:
                fail(sequence, f"the checkpoint of entry {sequence} was edited")
        for sequence in times:
            if began <= sequence < end and sequence not in self._claims:
                fail(sequence, f"the chain names no checkpoint of entry {sequence}")
        for each in self.external:
            if each.sequence > end:
                fail(
                    end + 1,
                    f"this is an older copy: a checkpoint that was kept elsewhere stands at entry {each.sequence}, "
                    f"and this log ends at {end}",
                )


async def find_start(connection: AsyncConnection, verifier: Verifier) -> tuple[int, bytes] | None:
    """Where an incremental verification begins: at the newest checkpoint before the last good verification.

    What was verified then is on record in the chain, under a MAC; the checkpoint is signed.
    """
    entries, checkpoints = tables.audit_entries, tables.audit_checkpoints
    outcomes = tables.audit_events
    verifications = (
        select(entries.c.sequence, outcomes.c.canonical)
        .join_from(entries, outcomes, outcomes.c.sequence == entries.c.outcome_sequence)
        .where(entries.c.action == Action.VERIFY.value)
        .order_by(entries.c.sequence.desc())
        .limit(_LOOK_BACK)
    )
    rows = (await connection.execute(verifications)).all()
    last = next((row.sequence for row in rows if b'"error_code":' not in row.canonical), None)
    if last is None:
        return None
    newest = checkpoints.select().where(checkpoints.c.sequence < last).order_by(checkpoints.c.sequence.desc()).limit(1)
    row = (await connection.execute(newest)).first()
    if row is None:
        return None
    try:
        checkpoint = verifier.checkpoint(str(row.note))
    except ValueError:
        return None
    return checkpoint.sequence, checkpoint.hash

"""Is the audit log as it was written? Every event hashed, every column compared, every anchor looked at.

What detects what: an edit, insertion, removal or reordering breaks the chain; a forged end has no MAC; an end that was
cut off does not reach the sealed head; a checkpoint that was kept elsewhere tells an older copy that was put back.
The search tables are compared with the events they were made from, for people look there.

It runs in a thread, a page in each short read transaction, and builds nothing per event that it can avoid: a stored
event is one tuple, and its columns are looked for in its canonical bytes as they must stand there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Action
from orgserver.model.errors import AuditBroken
from orgserver.store import tables
from orgserver.store.audit import chain, index_check, pruning
from orgserver.store.audit import snapshots as kept_values
from orgserver.store.audit.column_check import columns_agree
from orgserver.vault.signed_notes import Checkpoint, Verifier, as_signed

PAGE = 8_000
_ROWS = 1_000
CHECKS = ("sequence", "chain", "mac", "columns", "index", "head", "checkpoints", "values")
_LOOK_BACK = 50
_e = tables.audit_events
_EVENTS = (
    select(
        _e.c.sequence,
        _e.c.entry_id,
        _e.c.kind,
        _e.c.time,
        _e.c.principal,
        _e.c.org,
        _e.c.tool,
        _e.c.action,
        _e.c.object,
        _e.c.outcome,
        _e.c.canonical,
        _e.c.hash,
        _e.c.mac,
    )
    .where(_e.c.sequence > bindparam("after"))
    .order_by(_e.c.sequence)
    .limit(PAGE)
)
_LAST_CHECKPOINT = text("SELECT max(sequence) FROM audit_checkpoints")
_any_text = partial(str, encoding="utf-8", errors="surrogateescape")


@dataclass(slots=True)
class Verification:
    """How far a verification has come, and the first thing it found wrong."""

    store_id: str
    key: Callable[[bytes], bytes]
    """The MAC of a hash."""
    open_head: Callable[[bytes], tuple[int, bytes]]
    verifier: Verifier
    kept: Sequence[Checkpoint] = ()
    """Checkpoints that were kept elsewhere."""
    open_kept: kept_values.Open | None = None
    """Opens field values that are kept, to compare them with their digests; without it they are not looked at."""
    sequence: int = 0
    hash: bytes = b""
    events: int = 0
    intents: int = 0
    first_bad: int | None = None
    problem: str | None = None
    _anchors: dict[int, bytes] = field(default_factory=dict)
    _claimed: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By the sequence of a checkpoint: the event that names it, and the time of both."""
    _base: pruning.Base = field(default_factory=lambda: pruning.Base(0, b""))
    _named: bool = False
    """Whether an event was met that names the base."""

    def fail(self, sequence: int, problem: str) -> None:
        """Keep the first thing that is wrong: the lowest sequence."""
        if self.first_bad is None or sequence < self.first_bad:
            self.first_bad, self.problem = sequence, problem

    def run(self, connection: Connection, progress: Callable[[int], None] = lambda _sequence: None) -> None:
        """Check everything from where it stands, or from the base, to the end of the chain."""
        _read_any_text(connection)
        while True:
            base = self._begin(connection)
            if self.problem is None:
                self._run(connection, progress, base)
            with connection.begin():
                if self.problem is None or pruning.base_of(connection, self.store_id) == base:
                    return
            self.sequence = self.events = self.intents = 0  # it was pruned meanwhile: begin again
            self.first_bad = self.problem = None
            self._anchors.clear()
            self._claimed.clear()

    def _begin(self, connection: Connection) -> pruning.Base:
        with connection.begin():
            base = pruning.base_of(connection, self.store_id)
            wrong = pruning.wrong_with(connection, base, self.verifier)
        if wrong is not None:
            self.fail(*wrong)
        self._base, self._named = base, False
        if self.sequence <= base.sequence:
            self.sequence, self.hash = base.sequence, base.hash
        return base

    def _run(self, connection: Connection, progress: Callable[[int], None], base: pruning.Base) -> None:
        began = self.sequence
        self._read_anchors(connection)
        if self._anchors.get(base.sequence, base.hash) != base.hash:
            self.fail(base.sequence, f"a checkpoint says that the base at entry {base.sequence} was another")
        while self._page(connection):
            progress(self.sequence)
            if self.problem is not None:
                return
        progress(self.sequence)
        if self.problem is not None:
            return
        with connection.begin():
            self._check_head(connection)
            self._check_claims(connection, began)
            if self.problem is None and not self._base_is_named(connection, base, began):
                self.fail(base.sequence, f"the chain names no base at entry {base.sequence}")
        if self.problem is None:  # only then do the events say what stands beside them
            self._check_beside(connection, began)

    # -- events

    def _page(self, connection: Connection) -> bool:
        """Check the next page of the chain; False at its end."""
        began = self.sequence
        with connection.begin():
            result = connection.execute(_EVENTS, {"after": began})
            assert result.cursor is not None  # noqa: S101  # a SELECT has one
            read = 0
            while self.problem is None and (rows := result.cursor.fetchmany(_ROWS)):  # plain tuples: Rows cost more
                self._check(rows)
                read += len(rows)
            result.close()
        return read == PAGE and self.problem is None

    def _check(self, rows: Iterable[tuple[Any, ...]]) -> None:
        sha256, mac_of = hashlib.sha256, self.key
        sequence, previous = self.sequence, self.hash
        anchors = self._anchors
        for row in rows:
            number, kind, canonical, hash_, mac = row[0], row[2], row[10], row[11], row[12]
            if number != sequence + 1:
                self.fail(sequence + 1, f"entry {sequence + 1} was removed")
                break
            if not (type(canonical) is type(hash_) is type(mac) is bytes):
                self.fail(number, f"entry {number} was edited")  # SQLite keeps any type in any column
                break
            if sha256(b"\x01" + previous + number.to_bytes(8, "big") + canonical).digest() != hash_:
                self.fail(number, f"entry {number} was edited, inserted or reordered")
                break
            if mac_of(hash_) != mac:
                self.fail(number, f"entry {number} was not written by this store")
                break
            if not columns_agree(row):
                self.fail(number, f"the searchable columns of entry {number} were edited")
                break
            if number in anchors and anchors[number] != hash_:
                self.fail(number, f"a checkpoint says that entry {number} was another")
                break
            if row[7] == Action.PRUNE and self._base.named_by(canonical, row[3]):
                self._named = True
            if kind == chain.CHECKPOINT:
                self._claimed[int(json.loads(canonical)["sequence"])] = number, row[3]
            sequence, previous = number, hash_
            self.intents += kind == chain.INTENT
        self.events += sequence - self.sequence
        self.sequence, self.hash = sequence, previous

    # -- what stands beside the chain

    def _check_beside(self, connection: Connection, began: int) -> None:
        """The search tables, and what is kept of the values that changes replaced."""
        bad = index_check.first_bad(connection, began, self.sequence, PAGE)
        if bad is not None:
            self.fail(*bad)
        if self.open_kept is not None:
            with connection.begin():
                bad = kept_values.check(connection, self.open_kept)
            if bad is not None:
                self.fail(*bad)

    # -- anchors

    def _read_anchors(self, connection: Connection) -> None:
        """Checkpoints of the store and those kept elsewhere: the chain must pass through each."""
        with connection.begin():
            first = connection.execute(select(_e.c.sequence).order_by(_e.c.sequence).limit(1)).scalar()
            rows = connection.execute(text("SELECT sequence, hash, note FROM audit_checkpoints")).all()
        if first is not None and first < 1:
            self.fail(first, f"entry {first} stands before the beginning of the chain")
        present = {row.sequence for row in rows}
        for row in rows:
            try:
                told = self.verifier.checkpoint(str(row.note))
            except ValueError as bad:  # BadNote, or text that no note can hold
                self.fail(int(row.sequence), f"the checkpoint of entry {row.sequence} was edited: {bad}")
                continue
            signed = as_signed(row.note, told.origin, told.text())
            if (told.sequence, told.hash) != (row.sequence, row.hash) or not signed:
                bad_one = row.sequence if told.sequence in present else min(row.sequence, told.sequence)
                self.fail(bad_one, f"the checkpoint of entry {bad_one} was edited")
            self._anchors[told.sequence] = told.hash
        for each in self.kept:
            self._anchors[each.sequence] = each.hash

    def _base_is_named(self, connection: Connection, base: pruning.Base, began: int) -> bool:
        """Whether an entry names the base: one that was just verified, or, further back, is found by its action."""
        return not base.sequence or self._named or (began > base.sequence and pruning.is_named(connection, base))

    def _check_claims(self, connection: Connection, began: int) -> None:
        """The checkpoints are those that the chain names; each that was kept must be in the chain."""
        rows = connection.execute(text("SELECT sequence, time FROM audit_checkpoints"))
        present: dict[int, object] = {row.sequence: row.time for row in rows}
        for sequence, (event, time) in self._claimed.items():
            if sequence not in present:
                self.fail(event, f"the checkpoint of entry {sequence} was removed")
            elif present[sequence] != time:
                self.fail(sequence, f"the checkpoint of entry {sequence} was edited")
        for sequence in present:
            if began <= sequence < self.sequence and sequence not in self._claimed:
                self.fail(sequence, f"the chain names no checkpoint of entry {sequence}")
        for each in self.kept:
            if each.sequence > self.sequence:
                self.fail(
                    self.sequence + 1,
                    f"this is an older copy: a checkpoint that was kept elsewhere stands at entry {each.sequence}, "
                    f"and this log ends at {self.sequence}",
                )

    def _check_head(self, connection: Connection) -> None:
        """Compare the sealed head with where the chain ended; entries may have been added meanwhile."""
        rows = connection.execute(text("SELECT id, sequence, hash, sealed FROM audit_head")).all()
        if not rows:
            self.fail(self.sequence + 1, "the head of the chain is gone")
            return
        row = rows[0]
        if len(rows) > 1 or row.id != 1 or type(row.sealed) is not bytes:
            self.fail(self.sequence, "the head of the chain was changed")
            return
        try:
            sequence, hash_ = self.open_head(row.sealed)
        except AuditBroken as error:
            self.fail(self.sequence, str(error))
            return
        at_head = select(_e.c.hash).where(_e.c.sequence == sequence)
        last = connection.execute(at_head).scalar() if sequence else chain.genesis(self.store_id)
        if last is None or sequence < self.sequence:
            self.fail(min(sequence, self.sequence) + 1, "the end of the chain was cut off or forged")
        elif last != hash_ or (sequence == self.sequence and self.hash != hash_):
            self.fail(sequence, "the last entry is not the one the sealed head names")
        elif (sequence, hash_) != (row.sequence, row.hash):
            self.fail(self.sequence, "the head of the chain was changed")
        last_signed = connection.execute(_LAST_CHECKPOINT).scalar()
        if last_signed is not None and last_signed >= sequence:
            self.fail(sequence + 1, f"the end of the chain was cut off: a checkpoint stands at entry {last_signed}")


def _read_any_text(connection: Connection) -> None:
    """Let text that somebody made no UTF-8 be read, so that it is found and not stumbled over."""
    raw = connection.connection.driver_connection
    assert raw is not None  # noqa: S101  # this connection is open
    raw.text_factory = _any_text


async def start(connection: AsyncConnection, verifier: Verifier) -> tuple[int, bytes] | None:
    """Where an incremental verification begins: at the newest checkpoint before the last good verification.

    What was verified then is on record in the chain, under a MAC; the checkpoint is signed.
    """
    entries, checkpoints = tables.audit_entries, tables.audit_checkpoints
    ended = tables.audit_events
    verified = (
        select(entries.c.sequence, ended.c.canonical)
        .join_from(entries, ended, ended.c.sequence == entries.c.outcome_sequence)
        .where(entries.c.action == Action.VERIFY.value)
        .order_by(entries.c.sequence.desc())
        .limit(_LOOK_BACK)
    )
    rows = (await connection.execute(verified)).all()
    last = next((row.sequence for row in rows if b'"error_code":' not in row.canonical), None)
    if last is None:
        return None
    newest = checkpoints.select().where(checkpoints.c.sequence < last).order_by(checkpoints.c.sequence.desc()).limit(1)
    row = (await connection.execute(newest)).first()
    if row is None:
        return None
    try:
        told = verifier.checkpoint(str(row.note))
    except ValueError:
        return None
    return told.sequence, told.hash

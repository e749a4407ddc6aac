"""Is the audit log as it was written? Every event hashed, every column compared, every anchor looked at.

What detects what: an edit, insertion, removal or reordering breaks the chain; a forged end has no MAC; an end that was
cut off does not reach the sealed head; a checkpoint that was kept elsewhere tells an older copy that was put back.
The search tables are compared with the events they were made from, for people look there; in a second thread, at the
same time, for SQLite lets go of the interpreter.

It runs in a thread, a page in each short read transaction, and builds nothing per event that it can avoid: a stored
event is one tuple, and its columns are looked for in its canonical bytes as they must stand there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, select, text

from orgserver.model.audit import Action
from orgserver.model.errors import AuditBroken
from orgserver.store import tables
from orgserver.store.audit import chain, snapshots
from orgserver.store.audit.anchors import Anchors
from orgserver.store.audit.base import Base, find_problem, is_named_in_chain, read_base_in
from orgserver.store.audit.columns import all_agree, columns_agree
from orgserver.store.audit.index import PAGE_VERIFIED, IndexCheck
from orgserver.store.sql.statements import SQLITE

_ROWS = 1_000
CHECKS = ("sequence", "chain", "mac", "columns", "index", "head", "checkpoints", "values")
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
    .limit(PAGE_VERIFIED)
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
    anchors: Anchors
    open_snapshot: snapshots.Open | None = None
    """Opens field values that are kept, to compare them with their digests; without it they are not looked at."""
    sequence: int = 0
    hash: bytes = b""
    events: int = 0
    intents: int = 0
    first_bad: int | None = None
    problem: str | None = None
    _base: Base = field(default_factory=lambda: Base(0, b""))
    _base_was_met: bool = False
    """Whether an event was met that names the base."""
    _reads_any_text: bool = False
    """Whether text was met that is no UTF-8."""

    def fail(self, sequence: int, problem: str) -> None:
        """Keep the first thing that is wrong: the lowest sequence."""
        if self.first_bad is None or sequence < self.first_bad:
            self.first_bad, self.problem = sequence, problem

    def run(self, connection: Connection, progress: Callable[[int], None] = lambda _sequence: None) -> None:
        """Check everything from where it stands, or from the base, to the end of the chain."""
        with _reading_text(connection, _any_text):
            while not self._run_once(connection, progress):
                self.sequence = self.events = self.intents = 0  # it was pruned meanwhile: begin again
                self.first_bad = self.problem = None
                self.anchors.clear()

    def _run_once(self, connection: Connection, progress: Callable[[int], None]) -> bool:
        base = self._begin(connection)
        if self.problem is None:
            self._run(connection, progress, base)
        with connection.begin():
            return self.problem is None or read_base_in(connection, self.store_id) == base

    def _begin(self, connection: Connection) -> Base:
        with connection.begin():
            base = read_base_in(connection, self.store_id)
            problem = find_problem(connection, base, self.anchors.verifier)
        if problem is not None:
            self.fail(*problem)
        self._base, self._base_was_met = base, False
        if self.sequence <= base.sequence:
            self.sequence, self.hash = base.sequence, base.hash
        return base

    def _run(self, connection: Connection, progress: Callable[[int], None], base: Base) -> None:
        with IndexCheck(connection, self.sequence) as index_check:
            self._run_chain(connection, progress, base)
            if self.problem is None:  # only then do the events say what stands beside them
                self._check_beside(connection, index_check)

    def _run_chain(self, connection: Connection, progress: Callable[[int], None], base: Base) -> None:
        began = self.sequence
        self.anchors.read(connection, self.fail)
        if self.anchors.hashes.get(base.sequence, base.hash) != base.hash:
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
            self.anchors.check_claims(connection, began, self.sequence, self.fail)
            if self.problem is None and not self._base_is_named(connection, base, began):
                self.fail(base.sequence, f"the chain names no base at entry {base.sequence}")

    # -- events

    def _page(self, connection: Connection) -> bool:
        """Check the next page of the chain; False at its end."""
        read = 0
        with connection.begin(), connection.execute(_EVENTS, {"after": self.sequence}) as result:
            assert result.cursor is not None  # noqa: S101  # a SELECT has one
            try:
                with _reading_text(connection, _any_text if self._reads_any_text else str):
                    while self.problem is None and (rows := result.cursor.fetchmany(_ROWS)):  # tuples: Rows cost more
                        self._check(rows)
                        read += len(rows)
            except sqlite3.OperationalError as error:
                if "UTF-8" not in str(error):
                    raise
                self._reads_any_text = True
                return True
        return read == PAGE_VERIFIED and self.problem is None

    def _check(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Check events one after the other, unless all of them are surely good."""
        columns = [*zip(*rows, strict=True)]
        numbers, hashes = columns[0], columns[11]
        if not self._is_good(columns):
            self._check_each(rows)
            return
        for place in (place for place, kind in enumerate(columns[2]) if kind == chain.CHECKPOINT):
            self.anchors.add_claim(numbers[place], columns[3][place], columns[10][place])
        self.intents += columns[2].count(chain.INTENT)
        self.events += len(rows)
        self.sequence, self.hash = numbers[-1], hashes[-1]

    def _is_good(self, columns: Sequence[tuple[Any, ...]]) -> bool:
        """Whether all of some events, given as columns, surely pass; a step over all of them costs less than each."""
        numbers, canonicals, hashes, macs = columns[0], *columns[10:13]
        anchors = self.anchors.hashes
        return (
            numbers == tuple(range(self.sequence + 1, self.sequence + 1 + len(numbers)))
            and {*map(type, canonicals), *map(type, hashes), *map(type, macs)} == {bytes}
            and [*map(chain.link, (self.hash, *hashes), numbers, canonicals)] == [*hashes]
            and [*map(self.key, hashes)] == [*macs]
            and all_agree(columns)
            and all(
                anchors[number] == hash_ for number, hash_ in zip(numbers, hashes, strict=True) if number in anchors
            )
            and Action.PRUNE not in columns[7]
        )

    def _check_each(self, rows: Iterable[tuple[Any, ...]]) -> None:
        link, mac_of = chain.link, self.key
        sequence, previous = self.sequence, self.hash
        anchors = self.anchors.hashes
        for row in rows:
            number, kind, canonical, hash_, mac = row[0], row[2], row[10], row[11], row[12]
            if number != sequence + 1:
                self.fail(sequence + 1, f"entry {sequence + 1} was removed")
                break
            if not (type(canonical) is type(hash_) is type(mac) is bytes):
                self.fail(number, f"entry {number} was edited")  # SQLite keeps any type in any column
                break
            if link(previous, number, canonical) != hash_:
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
                self._base_was_met = True
            if kind == chain.CHECKPOINT:
                self.anchors.add_claim(number, row[3], canonical)
            sequence, previous = number, hash_
            self.intents += kind == chain.INTENT
        self.events += sequence - self.sequence
        self.sequence, self.hash = sequence, previous

    # -- what stands beside the chain

    def _check_beside(self, connection: Connection, index_check: IndexCheck) -> None:
        """The search tables, and what is kept of the values that changes replaced."""
        problem = index_check.finish(connection, self.sequence)
        if problem is not None:
            self.fail(*problem)
        if self.open_snapshot is not None:
            with connection.begin():
                problem = snapshots.find_problem(connection, self.open_snapshot)
            if problem is not None:
                self.fail(*problem)

    def _base_is_named(self, connection: Connection, base: Base, began: int) -> bool:
        """Whether an entry names the base: one that was just verified, or, further back, is found by its action."""
        return (
            not base.sequence or self._base_was_met or (began > base.sequence and is_named_in_chain(connection, base))
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


@contextmanager
def _reading_text(connection: Connection, text_factory: Callable[[bytes], str]) -> Iterator[None]:
    """Read text as this makes it: ``str`` is quick, but stumbles over what somebody made no UTF-8."""
    raw: Any = connection.connection.driver_connection
    if connection.dialect.name != SQLITE:  # a server keeps no text that is no UTF-8
        yield
        return
    usual, raw.text_factory = raw.text_factory, text_factory
    try:
        yield
    finally:
        raw.text_factory = usual

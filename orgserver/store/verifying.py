"""Is the audit log as it was written? Every event hashed, every column compared, every anchor looked at.

What detects what: an edit, insertion, removal or reordering breaks the chain; a forged end has no MAC; an end that was
cut off does not reach the sealed head; a checkpoint that was kept elsewhere tells an older copy that was put back.
The search tables are compared with the events they were made from, for people look there.

It runs in a thread, a page in each short read transaction, and builds nothing per event that it can avoid: a stored
event is one tuple, and its columns are looked for in its canonical bytes as they must stand there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Action
from orgserver.model.errors import AuditBroken
from orgserver.notes import Checkpoint, Verifier
from orgserver.store import chain, indexing, tables

PAGE = 8_000
_ROWS = 1_000
CHECKS = ("sequence", "chain", "mac", "columns", "index", "head", "checkpoints")
_COLUMNS = ("principal", "org", "tool", "action", "object", "outcome")
_LOOK_BACK = 50
_END_OF_TIME = 4_223_371_680
"""Minutes until the year 10000, which no datetime can hold."""
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
_INDEX = text(f"""
    SELECT min(sequence) FROM (
        SELECT events.sequence AS sequence FROM audit_events AS events
        LEFT JOIN audit_entries AS found ON found.sequence = events.sequence
        WHERE events.sequence > :after AND events.sequence <= :upto AND events.kind = 'intent' AND NOT (
            found.entry_id IS events.entry_id AND found.time IS events.time
            AND found.principal IS lower(events.principal) AND found.org IS lower(events.org)
            AND found.tool IS lower(events.tool) AND found.action IS lower(events.action)
            AND found.object IS lower(events.object))
        UNION ALL
        SELECT found.sequence FROM audit_entries AS found
        LEFT JOIN audit_events AS events ON events.sequence = found.sequence AND events.kind = 'intent'
        WHERE found.sequence > :after AND found.sequence <= :upto AND events.sequence IS NULL
        UNION ALL
        SELECT found.sequence FROM audit_entries AS found
        LEFT JOIN audit_events AS ended ON ended.sequence = found.outcome_sequence
        WHERE found.sequence > :after AND found.sequence <= :upto
        AND NOT (found.outcome = 'pending' AND found.outcome_sequence IS NULL)
        AND NOT coalesce(ended.kind = 'outcome' AND ended.entry_id = found.entry_id
            AND ended.outcome = found.outcome, 0)
        UNION ALL
        SELECT sequence FROM ({indexing.TOUCHED}) AS touched
        WHERE NOT EXISTS (SELECT 1 FROM audit_touched AS found
            WHERE found.record_id = touched.record_id AND found.sequence = touched.sequence)
    )
""")  # noqa: S608  # our own text
_ENDED = text("""
    SELECT (SELECT count(*) FROM audit_events WHERE sequence > :after AND sequence <= :upto AND kind = 'outcome')
    - (SELECT count(*) FROM audit_entries WHERE outcome_sequence > :after AND outcome_sequence <= :upto)
""")
"""Each outcome that an entry names was looked at; none may be left over."""
_FIRST_LEFT_OVER = text("""
    SELECT min(coalesce(found.sequence, events.sequence)) FROM audit_events AS events
    LEFT JOIN audit_entries AS found ON found.entry_id = events.entry_id
    WHERE events.sequence > :after AND events.sequence <= :upto AND events.kind = 'outcome'
    AND found.outcome_sequence IS NOT events.sequence
""")
_OUT_OF_BOUNDS = text("""
    SELECT min(sequence) FROM (
        SELECT min(sequence) AS sequence FROM audit_entries WHERE sequence < 1
        UNION ALL SELECT min(sequence) FROM audit_entries WHERE sequence > :indexed
        UNION ALL SELECT min(sequence) FROM audit_entries WHERE outcome_sequence > :indexed
    )
""")
"""Nothing is found by events that the search tables do not know yet."""
_STRANGE_TOUCHES = text("""
    SELECT min(found.sequence) FROM audit_touched AS found
    LEFT JOIN audit_entries AS entries ON entries.sequence = found.sequence
    LEFT JOIN audit_events AS begun ON begun.sequence = entries.sequence
    LEFT JOIN audit_events AS ended ON ended.sequence = entries.outcome_sequence
    WHERE NOT EXISTS (SELECT 1 FROM json_each(CAST(begun.canonical AS TEXT), '$.record_ids') AS ids
        WHERE ids.value = found.record_id)
    AND NOT EXISTS (SELECT 1 FROM json_each(CAST(ended.canonical AS TEXT), '$.record_ids') AS ids
        WHERE ids.value = found.record_id)
""")
_LAST_CHECKPOINT = text("SELECT max(sequence) FROM audit_checkpoints")
_any_text = partial(str, encoding="utf-8", errors="surrogateescape")
_quoted = json.JSONEncoder(ensure_ascii=False).encode


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
    sequence: int = 0
    hash: bytes = b""
    events: int = 0
    intents: int = 0
    first_bad: int | None = None
    problem: str | None = None
    _anchors: dict[int, bytes] = field(default_factory=dict)
    _claimed: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By the sequence of a checkpoint: the event that names it, and the time of both."""

    def fail(self, sequence: int, problem: str) -> None:
        """Keep the first thing that is wrong: the lowest sequence."""
        if self.first_bad is None or sequence < self.first_bad:
            self.first_bad, self.problem = sequence, problem

    def run(self, connection: Connection, progress: Callable[[int], None] = lambda _sequence: None) -> None:
        """Check everything from where it stands to the end of the chain."""
        if not self.sequence:
            self.hash = chain.genesis(self.store_id)
        began = self.sequence
        _read_any_text(connection)
        self._read_anchors(connection)
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
        if self.problem is None:  # only then do the events say what the search tables should
            self._check_search_tables(connection, began)

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
            if kind == chain.CHECKPOINT:
                self._claimed[int(json.loads(canonical)["sequence"])] = number, row[3]
            sequence, previous = number, hash_
            self.intents += kind == chain.INTENT
        self.events += sequence - self.sequence
        self.sequence, self.hash = sequence, previous

    # -- search tables

    def _check_search_tables(self, connection: Connection, began: int) -> None:
        with connection.begin():
            indexed = self._indexed(connection)
        if indexed is None:
            return
        upto = min(self.sequence, indexed)
        for after in range(began, upto, PAGE):
            with connection.begin():
                bad = connection.execute(_INDEX, {"after": after, "upto": min(after + PAGE, upto)}).scalar()
            self._fail_index(bad)
        with connection.begin():
            now = self._indexed(connection)
            self._fail_index(connection.execute(_OUT_OF_BOUNDS, {"indexed": now}).scalar())
            span = {"after": began, "upto": upto}
            if connection.execute(_ENDED, span).scalar():
                self._fail_index(connection.execute(_FIRST_LEFT_OVER, span).scalar())
            self._fail_index(connection.execute(_STRANGE_TOUCHES).scalar())

    def _fail_index(self, bad: int | None) -> None:
        if bad is not None:
            self.fail(int(bad), f"what entry {bad} is found by was edited")

    def _indexed(self, connection: Connection) -> int | None:
        """How far the search tables go, which is no farther than the chain."""
        rows = connection.execute(text("SELECT id, sequence FROM audit_indexed")).all()
        if len(rows) != 1 or rows[0].id != 1 or type(rows[0].sequence) is not int or rows[0].sequence < 0:
            self.fail(1, "how far the search tables go was changed")
            return None
        indexed = int(rows[0].sequence)
        head = int(connection.execute(select(tables.audit_head.c.sequence)).scalar_one())
        if indexed > head:
            self.fail(head + 1, f"the search tables are said to know entry {indexed}, and this log ends at {head}")
            return None
        return indexed

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
            if (told.sequence, told.hash) != (row.sequence, row.hash) or not _as_signed(row.note, told):
                bad_one = row.sequence if told.sequence in present else min(row.sequence, told.sequence)
                self.fail(bad_one, f"the checkpoint of entry {bad_one} was edited")
            self._anchors[told.sequence] = told.hash
        for each in self.kept:
            self._anchors[each.sequence] = each.hash

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


def _as_signed(note: str, told: Checkpoint) -> bool:
    """Whether a note is, to the letter, what its signer wrote: one signature, and nothing that a reader passes over."""
    prefix = f"{told.text()}\n\N{EM DASH} {told.origin} "
    signature = note[len(prefix) :].removesuffix("\n")
    try:
        exact = base64.b64encode(base64.b64decode(signature)).decode()
    except ValueError:
        return False
    return note == f"{prefix}{exact}\n"


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


def columns_agree(row: Sequence[Any]) -> bool:
    """Whether the searchable columns say what the canonical bytes say.

    Canonical bytes are one flat JSON object without white space, and a quote inside a text is escaped: so
    ``"name":"value"`` stands in them exactly where that key has that value.
    """
    entry_id, time, canonical = row[1], row[3], row[10]
    if type(time) is not int or type(entry_id) is not str or '"' in entry_id:
        return False
    minute, rest = divmod(time, 60_000_000)
    if (
        not 0 <= minute < _END_OF_TIME
        or b'%b%02d.%06dZ"' % (_minute(minute), *divmod(rest, 1_000_000)) not in canonical
    ):
        return False
    expected = _expected(row[2], *row[4:10])
    if expected is None or f'"id":"{entry_id}"'.encode("utf-8", "surrogatepass") not in canonical:
        return False
    present, absent = expected
    for piece in present:
        if piece not in canonical:
            return False
    for piece in absent:  # noqa: SIM110  # all() would make a generator for each event
        if piece in canonical:
            return False
    return True


@lru_cache(maxsize=256)
def _minute(minute: int) -> bytes:
    """The beginning of a time as canonical bytes hold it."""
    return b'"time":"' + chain.time_text(minute * 60_000_000).removesuffix("00.000000Z").encode()


@lru_cache(maxsize=4_096)  # a log says the same few things again and again
def _expected(kind: object, *columns: object) -> tuple[tuple[bytes, ...], tuple[bytes, ...]] | None:
    """What must stand in the canonical bytes of an event with these columns, and what must not; None: no such event."""
    present, absent = [], []
    for name, value in zip(("kind", *_COLUMNS), (kind, *columns), strict=True):
        if value is None:
            absent.append(f'"{name}":'.encode())
        elif isinstance(value, str):
            present.append(f'"{name}":{_quoted(value)}'.encode("utf-8", "backslashreplace"))
        else:
            return None
    return tuple(present), tuple(absent)

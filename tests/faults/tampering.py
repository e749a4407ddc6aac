"""Every way to change an audit log behind our back, tried at random: each is found, at its first wrong sequence.

A small store is grown, closed and copied; one copy at a time is changed through plain ``sqlite3`` and verified.
A tampering says which sequence must be named: of an event its own; of a search row the entry it belongs to;
of an end that was cut off the first that is missing.
"""

import asyncio
import contextlib
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.bulk import RecordResult, ResultBatch
from orgserver.model.errors import OperatorError
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Caller
from orgserver.services.audit.retention import Retention
from orgserver.store.audit import chain, reader, snapshots
from orgserver.store.audit.anchors import Anchors
from orgserver.store.audit.snapshots import Snapshot
from orgserver.store.audit.verification import Verification
from orgserver.store.database import Database
from orgserver.store.engines import sqlite_connections
from orgserver.store.session import Store, open_store
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from orgserver.vault.signed_notes import Checkpoint, Verifier

FAR = 1 << 60
OWNER = RowId("01")
CALLER = Caller(Principal("local:me"), "cli")
TAMPERINGS_PER_STORE = 250
TRIES = 30
"""After so many that changed nothing, a store has nothing for a kind of tampering."""
RECORDS = [f"003Sb{number:010d}AAA" for number in range(12)]
EVENT_COLUMNS = (
    "entry_id",
    "kind",
    "time",
    "principal",
    "org",
    "tool",
    "action",
    "object",
    "outcome",
    "canonical",
    "hash",
    "mac",
)
ENTRY_COLUMNS = ("entry_id", "outcome_sequence", "time", "principal", "org", "tool", "action", "object", "outcome")
OUTCOMES = tuple(each for each in Outcome if each is not Outcome.PENDING)


# -- a small store


@dataclass(frozen=True)
class Copy:
    """A closed store at one moment."""

    content: bytes
    head: int
    indexed: int
    checkpoint: Checkpoint | None
    base: int
    """Where it was pruned to; 0 if it was not."""


@dataclass
class Grown:
    """A store that grew, with copies of it on the way; the last is what is tampered with."""

    store_id: str
    mac: Callable[[bytes], bytes]
    open_head: Callable[[bytes], tuple[int, bytes]]
    verifier: Verifier
    copies: list[Copy]
    fork: Copy
    """The first copy, continued by itself."""
    open_kept: snapshots.Open

    @property
    def now(self) -> Copy:
        return self.copies[-1]

    def verify(self, file: Path, anchors: Sequence[Checkpoint] = ()) -> Verification:
        """Verify a file as ``audit verify`` does."""
        state = Verification(self.store_id, self.mac, self.open_head, Anchors(self.verifier, anchors), self.open_kept)
        engine = sqlite_connections.make_scan_engine(file)  # what `Database.scan` verifies through
        with engine.connect() as connection:
            state.run(connection)
        engine.dispose()
        return state


def some_act(chance: random.Random) -> Intent:
    def perhaps(*values: Any) -> Any:
        return chance.choice((None, *values))

    return Intent(
        id=new_id(),
        principal=chance.choice(("local:me", "bot", 'Quo"ted', "Ünïcode ☃", "back\\slash")),
        transport="stdio",
        action=chance.choice((*Action, *[Action.BULK] * 8)),
        tool=perhaps("salesforce_create_contact", "t", ""),
        client=perhaps("c/1"),
        label=perhaps("a label", '"id":"x"'),
        org=perhaps("acme", "Globex", "acme-2", ""),
        object=perhaps("Contact", "Event", ""),
        record_ids=tuple(chance.sample(RECORDS, chance.choice((0, 0, 1, 3)))),
        fields=tuple(chance.sample(["LastName", "Email", "acme"], chance.randint(0, 3))),
        soql=perhaps("SELECT Id FROM Contact WHERE Name = ?"),
    )


def some_ending(chance: random.Random) -> Completion:
    return Completion(
        chance.choice(OUTCOMES),
        error_code=chance.choice((None, "REQUIRED_FIELD_MISSING")),
        record_ids=tuple(chance.sample(RECORDS, chance.choice((0, 1, 2)))),
        row_count=chance.choice((None, 0, 7)),
    )


def some_part(chance: random.Random) -> ResultBatch:
    """What became of some of the records of a large change."""
    states = chance.choices(("succeeded", "failed", "unknown"), k=chance.randint(1, 4))
    results = [
        RecordResult(state, chance.choice((None, *RECORDS)), chance.choice((None, "DUPLICATES_DETECTED")))
        for state in states
    ]
    return ResultBatch(chance.randrange(9), results, tuple(chance.sample(RECORDS, chance.choice((0, 0, 1)))))


async def go_on(store: Store, chance: random.Random, steps: int) -> None:
    """Some intents, outcomes in another order, checkpoints, and an index that follows now and then."""
    open_acts: list[Intent] = []
    told: dict[str, int] = {}
    for _ in range(steps):
        match chance.choices(("begin", "part", "finish", "record", "checkpoint", "index"), (5, 3, 5, 4, 1, 1))[0]:
            case "begin":
                open_acts.append(one := some_act(chance))
                assert (await store.audit.begin(one, deadline=FAR, catalog_version=1)).verdict == "begun"
                if chance.random() < 0.3:
                    await keep(store, one, chance)
            case "part" if open_acts:
                one = chance.choice(open_acts)
                if one.action != Action.BULK:
                    continue  # no other act has parts
                found = [some_part(chance) for _ in range(chance.randint(0, 2))]
                assert await store.audit.go_on(one.id, FAR, told.get(one.id, 0), found)
                told[one.id] = told.get(one.id, 0) + len(found)
            case "finish" if open_acts:
                ended = open_acts.pop(chance.randrange(len(open_acts)))
                assert await store.audit.finish(ended.id, some_ending(chance))
            case "checkpoint":
                await store.audit.look_after(idle_us=0)
            case "index":
                await store.audit.catch_up()
            case _:
                await store.audit.record(some_act(chance), some_ending(chance))


async def keep(store: Store, act: Intent, chance: random.Random) -> None:
    """Keep what an act replaced."""
    values = Snapshot(
        OWNER, "Contact", chance.choice(RECORDS), {"LastName": "Byron"}, chance.choice((None, {"LastName": "King"}))
    )
    await store.database.write(lambda tx: snapshots.save_in(tx, store.orgs, store.audit, act.id, values))


async def prune(store: Store) -> None:
    """Remove the older entries, if anything may be removed."""
    retention = Retention(store)
    with contextlib.suppress(OperatorError):
        await retention.prune(CALLER, await retention.plan(datetime.now(UTC) + timedelta(minutes=1)), lambda *_: None)


async def grow(folder: Path, empty: bytes, chance: random.Random, parts: Sequence[int]) -> Grown:
    """Grow a store in parts, with a copy after each."""
    file, key = folder / "grown.db", Key.new()
    copies: list[Copy] = []
    file.write_bytes(empty)

    async def opened() -> Store:
        return await open_store(file, lambda _create: Vault([key]))

    for number, steps in enumerate(parts):
        store = await opened()
        await store.database.write(partial(store.orgs.credentials.data_key_in, row_id=OWNER))
        await go_on(store, chance, steps)
        if number:
            await store.audit.look_after(idle_us=0)
            if number == 1 and chance.random() < 0.5:
                await prune(store)
            if chance.random() < 0.3:
                await store.audit.record(some_act(chance), some_ending(chance))  # the index does not know it yet
        await store.close()
        copies.append(copy_of(file, store))
    file.write_bytes(copies[0].content)
    other = await opened()
    while await _head(other) <= copies[-1].head:
        await other.audit.record(some_act(chance), some_ending(chance))
    await other.close()
    return Grown(
        store.id,
        store.audit.mac,
        store.audit.open_head,
        store.audit.signer.verifier,
        copies,
        copy_of(file, store),
        store.orgs.credentials.open_value,
    )


async def _head(store: Store) -> int:
    async with store.database.reading() as connection:
        return await reader.read_head(connection)


def copy_of(file: Path, store: Store) -> Copy:
    content = file.read_bytes()
    with closing(sqlite3.connect(file)) as connection:
        (head,), (indexed,) = (
            connection.execute(f"SELECT sequence FROM {table}").fetchone() for table in ("audit_head", "audit_indexed")
        )
        note = connection.execute("SELECT note FROM audit_checkpoints ORDER BY sequence DESC").fetchone()
        base = connection.execute("SELECT sequence FROM audit_base").fetchone() or (0,)
    return Copy(content, head, indexed, store.audit.signer.verifier.checkpoint(note[0]) if note else None, base[0])


async def empty_store(folder: Path) -> bytes:
    """The bytes of a store that was migrated and holds nothing."""
    made = await Database.open(folder / "empty.db")
    await made.close()
    return (folder / "empty.db").read_bytes()


# -- tamperings


class Same(Exception):
    """What was tried left the log as it was, or as it might have been."""


@dataclass
class Trial:
    """One copy that is tampered with."""

    chance: random.Random
    db: sqlite3.Connection
    grown: Grown
    kept: list[Checkpoint] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.grown.now.head

    def one(self, sql: str, *values: Any) -> Any:
        row = self.db.execute(sql, values).fetchone()
        if row is None:
            raise Same
        return row[0]

    def event(self) -> int:
        return self.chance.randint(self.grown.now.base + 1, self.end)

    def row_of(self, table: str) -> int:
        """The sequence of any row of a table."""
        return int(self.one(f"SELECT sequence FROM {table} ORDER BY random() LIMIT 1"))

    def edit(self, table: str, column: str, where: str, *values: Any) -> None:
        """Change one column of one row to something else."""
        self.db.text_factory = bytes
        seen = f"SELECT typeof({column}), CAST({column} AS BLOB) FROM {table} WHERE {where}"
        before = self.db.execute(seen, values).fetchone()
        kind, old = before[0].decode(), self.one(f"SELECT {column} FROM {table} WHERE {where}", *values)
        sql, new = another(self.chance, kind, old)
        self.db.execute(f"UPDATE {table} SET {column} = {sql} WHERE {where}", (new, *values))
        if self.db.execute(seen, values).fetchone() == before:
            raise Same
        self.db.text_factory = str

    def elsewhere(self, sequence: int) -> int:
        """Another number for a row."""
        there = self.chance.choice(
            (0, -1, -sequence, self.end + 1, self.end + self.chance.randint(2, 99), self.event())
        )
        if there == sequence:
            raise Same
        return there


def another(chance: random.Random, kind: str, old: Any) -> tuple[str, Any]:
    """Another value for a column, as SQL with one parameter: of its kind or of any other."""
    ways: list[tuple[str, Any]] = [("?", None), ("?", 0), ("?", 1 << 62), ("?", 0.5), ("?", ""), ("?", "x"), ("?", b"")]
    if kind in ("text", "blob"):
        back = "CAST(? AS TEXT)" if kind == "text" else "?"
        ways += [
            ("CAST(? AS TEXT)", old),
            ("CAST(? AS BLOB)", old),
            (back, old + b" "),
            (back, old[:-1]),
            (back, old.swapcase()),
        ]
        if old:
            place = chance.randrange(len(old))
            flipped = bytes((old[place] ^ 1 << chance.randrange(8),))
            ways += [(back, old[:place] + flipped + old[place + 1 :])] * 6
            ways += [(back, old[:place] + old[place + 1 :]), (back, old[:place] + b"\n" + old[place:])]
    if kind == "integer":
        ways += [("?", old + step) for step in (1, -1, 1_000_000, -1_000_000)] + [("?", str(old).encode()), ("?", -old)]
    return chance.choice(ways)


def edit_event(t: Trial) -> int:
    sequence = t.event()
    t.edit("audit_events", t.chance.choice(EVENT_COLUMNS), "sequence = ?", sequence)
    return sequence


def number_event_anew(t: Trial) -> int:
    sequence = t.event()
    there = t.elsewhere(sequence)
    if 0 < there <= t.end:
        raise Same
    t.db.execute("UPDATE audit_events SET sequence = ? WHERE sequence = ?", (there, sequence))
    return min(there, sequence)


def delete_events(t: Trial) -> int:
    first = t.event()
    t.db.execute(
        "DELETE FROM audit_events WHERE sequence BETWEEN ? AND ?", (first, first + t.chance.choice((0, 0, 1, 5)))
    )
    return first


def delete_and_close_up(t: Trial) -> int:
    first = t.event()
    t.db.execute("DELETE FROM audit_events WHERE sequence = ?", (first,))
    t.db.execute("UPDATE audit_events SET sequence = 1 - sequence WHERE sequence > ?", (first,))
    t.db.execute("UPDATE audit_events SET sequence = -sequence WHERE sequence < 0")
    t.db.execute("UPDATE audit_events SET sequence = 1 WHERE sequence = 0")
    return first


def insert_event(t: Trial) -> int:
    """A copy of an event, at a place that is free or was made free; sometimes linked as it should be."""
    like = t.event()
    there = t.chance.choice((t.event(), t.event(), t.end + 1, t.end + 7, 0, -3))
    if 0 < there <= t.end:
        t.db.execute("UPDATE audit_events SET sequence = -1 - sequence WHERE sequence >= ?", (there,))
        t.db.execute("UPDATE audit_events SET sequence = -sequence WHERE sequence < 0")
        like += like >= there
    hash_ = t.db.execute("SELECT hash FROM audit_events WHERE sequence = ?", (like,)).fetchone()[0]
    if t.chance.random() < 0.5 and 1 < there <= t.end + 1:
        previous, canonical = (
            t.one(f"SELECT {column} FROM audit_events WHERE sequence = ?", number)
            for column, number in (("hash", there - 1), ("canonical", like))
        )
        hash_ = chain.link(previous, there, canonical)
    t.db.execute(
        "INSERT INTO audit_events SELECT ?, ?, kind, time, principal, org, tool, action, object, outcome, canonical, ?, mac "
        "FROM audit_events WHERE sequence = ?",
        (there, new_id(), hash_, like),
    )
    return min(there, t.end + 1)


def swap_events(t: Trial) -> int:
    first, second = sorted((t.event(), t.event()))
    if first == second:
        raise Same
    for old, new in ((first, -1), (second, first), (-1, second)):
        t.db.execute("UPDATE audit_events SET sequence = ? WHERE sequence = ?", (new, old))
    return first


def swap_cells(t: Trial) -> int:
    """Two events exchange one column."""
    first, second = sorted((t.event(), t.event()))
    column = t.chance.choice(EVENT_COLUMNS)
    found = {n: t.one(f"SELECT {column} FROM audit_events WHERE sequence = ?", n) for n in (first, second)}
    if found[first] == found[second] or column in ("entry_id", "kind"):
        raise Same
    for here, there in ((first, second), (second, first)):
        t.db.execute(f"UPDATE audit_events SET {column} = ? WHERE sequence = ?", (found[there], here))
    return first


def cut_off(t: Trial) -> int:
    first = t.event()
    t.db.execute("DELETE FROM audit_events WHERE sequence >= ?", (first,))
    if first > 1 and t.chance.random() < 0.5:
        t.db.execute(
            "UPDATE audit_head SET sequence = ?1, hash = (SELECT hash FROM audit_events WHERE sequence = ?1)",
            (first - 1,),
        )
    return first


def cut_off_with_an_older_head(t: Trial) -> int:
    """Only events and head go back; checkpoints and search tables stay."""
    older = t.chance.choice(t.grown.copies[:-1])
    with closing(opened_copy(older)) as old:
        head = old.execute("SELECT sequence, hash, sealed FROM audit_head").fetchone()
    t.db.execute("DELETE FROM audit_events WHERE sequence > ?", (older.head,))
    t.db.execute("UPDATE audit_head SET sequence = ?, hash = ?, sealed = ?", head)
    return older.head + 1


def edit_head(t: Trial) -> int:
    match t.chance.randrange(6):
        case 0:
            t.db.execute("DELETE FROM audit_head")
            return t.end + 1
        case 1:
            t.db.execute(
                "INSERT INTO audit_head SELECT ?, sequence, hash, sealed FROM audit_head", (t.chance.choice((0, 2)),)
            )
        case 2:
            t.db.execute("UPDATE audit_head SET id = ?", (t.chance.choice((0, 2, -1)),))
        case _:
            t.edit("audit_head", t.chance.choice(("sequence", "hash", "sealed", "sealed")), "1")
    return t.end


def edit_checkpoint(t: Trial) -> int:
    sequence = t.row_of("audit_checkpoints")
    match t.chance.randrange(5):
        case 0:
            t.db.execute("DELETE FROM audit_checkpoints WHERE sequence = ?", (sequence,))
            return sequence + 1  # the event that names it
        case 1:
            there = t.elsewhere(sequence)
            t.db.execute("UPDATE audit_checkpoints SET sequence = ? WHERE sequence = ?", (there, sequence))
            return min(there, sequence)
        case 2:
            there = t.elsewhere(sequence)
            t.db.execute(
                "INSERT INTO audit_checkpoints SELECT ?, hash, time, note FROM audit_checkpoints WHERE sequence = ?",
                (there, sequence),
            )
            return there
        case _:
            t.edit(
                "audit_checkpoints", t.chance.choice(("hash", "time", "note", "note", "note")), "sequence = ?", sequence
            )
    return sequence


def edit_entry(t: Trial) -> int:
    sequence = t.row_of("audit_entries")
    match t.chance.randrange(8):
        case 0:
            t.db.execute("DELETE FROM audit_entries WHERE sequence = ?", (sequence,))
        case 1:
            there = t.elsewhere(sequence)
            t.db.execute("UPDATE audit_entries SET sequence = ? WHERE sequence = ?", (there, sequence))
            return min(there, sequence)
        case 2:
            there = t.elsewhere(sequence)
            t.db.execute(
                "INSERT INTO audit_entries SELECT ?, ?, outcome_sequence, time, principal, org, tool, action, object, outcome "
                "FROM audit_entries WHERE sequence = ?",
                (there, new_id(), sequence),
            )
            return there
        case 3:
            changed = t.db.execute(
                "UPDATE audit_entries SET outcome = 'pending', outcome_sequence = NULL "
                "WHERE sequence = ? AND outcome <> 'pending'", (sequence,)
            )  # fmt: skip
            if not changed.rowcount:
                raise Same
        case _:
            t.edit("audit_entries", t.chance.choice(ENTRY_COLUMNS), "sequence = ?", sequence)
    return sequence


def edit_touched(t: Trial) -> int:
    sequence = t.row_of("audit_touched")
    record = t.one("SELECT record_id FROM audit_touched WHERE sequence = ? ORDER BY random() LIMIT 1", sequence)
    match t.chance.randrange(4):
        case 0:
            t.db.execute("DELETE FROM audit_touched WHERE record_id = ? AND sequence = ?", (record, sequence))
        case 1:
            there = t.elsewhere(sequence)
            t.db.execute(
                "UPDATE audit_touched SET sequence = ? WHERE record_id = ? AND sequence = ?", (there, record, sequence)
            )
            return min(there, sequence)
        case 2:
            name = t.chance.choice((*RECORDS, "acme", "LastName", "stdio", "", "x"))
            there = t.elsewhere(sequence)
            t.db.execute("INSERT INTO audit_touched VALUES (?, ?)", (name, there))
            return there
        case _:
            t.db.text_factory = bytes
            sql, new = another(t.chance, "text", record.encode())
            t.db.execute(
                f"UPDATE audit_touched SET record_id = {sql} WHERE record_id = ? AND sequence = ?",
                (new, record, sequence),
            )
            t.db.text_factory = str
            same = (
                "SELECT count(*) FROM audit_touched WHERE record_id = ? AND typeof(record_id) = 'text' AND sequence = ?"
            )
            if t.one(same, record, sequence):
                raise Same
    return int(sequence)


def edit_indexed(t: Trial) -> int:
    indexed = t.grown.now.indexed
    match t.chance.randrange(6):
        case 0:
            t.db.execute("DELETE FROM audit_indexed")
            return 1
        case 1:
            t.db.execute("INSERT INTO audit_indexed VALUES (?, ?)", (t.chance.choice((0, 2)), t.event()))
            return 1
        case 2:
            t.db.execute("UPDATE audit_indexed SET id = ?", (t.chance.choice((0, 2, -1)),))
            return 1
        case 3:
            t.db.execute("UPDATE audit_indexed SET sequence = ?", (t.chance.choice((-1, "x", b"5", 1.5)),))
            return 1
        case 4:
            t.db.execute("UPDATE audit_indexed SET sequence = ?", (t.end + t.chance.randint(1, 99),))
            return t.end + 1
        case _:
            to = t.event() - 1
            low, high = sorted((to, indexed))
            t.db.execute("UPDATE audit_indexed SET sequence = ?", (to,))
            first = t.one(
                "SELECT min(begun.sequence) FROM audit_events AS e JOIN audit_events AS begun "
                "ON begun.entry_id = e.entry_id AND begun.kind = 'intent' WHERE e.kind IN ('intent', 'outcome') AND e.sequence > ? AND e.sequence <= ?",
                low, high,
            )  # fmt: skip
            missed = t.one(
                "SELECT min(begun.sequence) FROM audit_events AS e JOIN audit_entries AS begun ON begun.entry_id = e.entry_id "
                "JOIN json_each(CAST(e.canonical AS TEXT), '$.record_ids') AS ids "
                "WHERE e.kind LIKE 'part-%' AND e.sequence > ? AND e.sequence <= ? AND NOT EXISTS "
                "(SELECT 1 FROM audit_touched AS found WHERE (found.record_id, found.sequence) = (ids.value, begun.sequence))",
                indexed, to,
            )  # fmt: skip
            first = min((each for each in (first, missed) if each is not None), default=None)
            if first is None:
                raise Same  # nothing of that span is found by anything
            return int(first)


def edit_base(t: Trial) -> int:
    base = t.one("SELECT sequence FROM audit_base")
    match t.chance.randrange(5):
        case 0:
            t.db.execute("DELETE FROM audit_base")
            return 1
        case 1:
            t.db.execute("INSERT INTO audit_base SELECT 2, sequence, hash, intents, time, note FROM audit_base")
            return 1
        case _:
            column = t.chance.choice(("id", "sequence", "hash", "intents", "time", "note"))
            t.edit("audit_base", column, "sequence = ?", base)
    where = "id = 1 AND typeof(sequence) = 'integer' AND sequence > 0 AND typeof(hash) = 'blob' AND typeof(intents) = 'integer'"
    row = t.db.execute(f"SELECT sequence FROM audit_base WHERE {where} AND typeof(note) = 'text'").fetchone()
    return int(row[0]) if row else 1


def edit_kept(t: Trial) -> int:
    entry_id = t.one("SELECT entry_id FROM kept_values ORDER BY random() LIMIT 1")
    column = t.chance.choice(("entry_id", "object", "record_id", "time", "salt", "sealed"))
    t.edit("kept_values", column, "entry_id = ?", entry_id)
    if column == "entry_id":
        return 1
    return int(t.one("SELECT sequence FROM audit_events WHERE entry_id = ? AND kind = 'values'", entry_id))


def restore_an_older_copy(t: Trial) -> int:
    """Everything is consistent; only a checkpoint that was kept elsewhere knows."""
    older, kept = t.chance.choice(t.grown.copies[:-1]), t.grown.now.checkpoint
    assert kept is not None
    opened_copy(older).backup(t.db)
    t.kept = [kept]
    if kept.sequence <= older.head:
        raise Same
    return older.head + 1


def put_another_course_in_its_place(t: Trial) -> int:
    """An older copy that went on by itself, beyond the checkpoint that was kept."""
    kept = t.grown.now.checkpoint
    assert kept is not None
    opened_copy(t.grown.fork).backup(t.db)
    t.kept = [kept]
    return kept.sequence


def opened_copy(copy: Copy) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(_no_wal(copy.content))
    return connection


def _no_wal(content: bytes) -> bytes:
    """A database in memory has no WAL; the header says which journal a file has."""
    return content[:18] + b"\x01\x01" + content[20:]


KINDS: dict[Callable[[Trial], int], int] = {
    edit_event: 8, number_event_anew: 1, delete_events: 2, delete_and_close_up: 1, insert_event: 2, swap_events: 1,
    swap_cells: 2, cut_off: 1, cut_off_with_an_older_head: 1, edit_head: 2, edit_checkpoint: 3, edit_entry: 4,
    edit_touched: 2, edit_indexed: 2, restore_an_older_copy: 1, put_another_course_in_its_place: 1,
    edit_base: 1, edit_kept: 2,
}  # fmt: skip
"""With how often each is chosen, beside the once that each is for certain."""


def draw_kinds(count: int, chance: random.Random) -> list[Callable[[Trial], int]]:
    """So many kinds, in any order: each one at least once, if there is room for that."""
    rest = max(0, count - len(KINDS))
    kinds = [*KINDS, *chance.choices(list(KINDS), list(KINDS.values()), k=rest)]
    chance.shuffle(kinds)
    return kinds[:count]


# -- the run


@dataclass
class Tamperings:
    """What was tried and what was found."""

    seed: int
    tried: int = 0
    found: int = 0
    right: int = 0
    clean: int = 0
    false_alarms: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def holds(self) -> bool:
        return self.tried == self.found == self.right and not self.false_alarms

    def __str__(self) -> str:
        return (
            f"{self.tried} tamperings of {len(self.kinds)} kinds: {self.found} found, {self.right} at the right sequence; "
            f"{self.clean} clean stores: {len(self.false_alarms)} false alarms "
            f"{[*self.wrong[:8], *self.false_alarms[:8]] or ''}"
        )


async def tamperings(count: int, clean: int, *, seed: int) -> Tamperings:
    """Try so many tamperings, and verify so many stores that nobody touched."""
    chance, done = random.Random(seed), Tamperings(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = await empty_store(folder)
        kinds = draw_kinds(count, chance)
        while kinds:
            grown = await grow(
                folder, empty, chance, (chance.randint(4, 14), chance.randint(10, 20), chance.randint(4, 12))
            )
            check_clean(done, grown, folder)
            some, kinds = kinds[:TAMPERINGS_PER_STORE], kinds[TAMPERINGS_PER_STORE:]
            kinds += await asyncio.to_thread(tamper_often, done, grown, folder, chance, some)
        while done.clean < clean:
            shape = tuple(chance.randint(0, 12) for _ in range(chance.randint(2, 3)))
            check_clean(done, await grow(folder, empty, chance, shape), folder)
    return done


def check_clean(done: Tamperings, grown: Grown, folder: Path) -> None:
    done.clean += 1
    file = folder / "clean.db"
    file.write_bytes(grown.now.content)
    kept = [copy.checkpoint for copy in grown.copies if copy.checkpoint is not None]
    found = grown.verify(file, kept)
    if found.problem is not None or found.sequence != grown.now.head:
        done.false_alarms.append(f"{found.problem} ({found.first_bad})")


def tamper_often(
    done: Tamperings, grown: Grown, folder: Path, chance: random.Random, kinds: list[Callable[[Trial], int]]
) -> list[Callable[[Trial], int]]:
    """Tamper once for each of some kinds; those that this store has nothing for are given back, for another one."""
    left: list[Callable[[Trial], int]] = []
    for kind in kinds:
        tries = 0 if kind in left else TRIES
        while tries and not tamper_once(done, grown, folder / "tampered.db", chance, kind):
            tries -= 1
        if not tries:
            left.append(kind)
    return left


def tamper_once(
    done: Tamperings, grown: Grown, file: Path, chance: random.Random, kind: Callable[[Trial], int]
) -> bool:
    """Change one copy and verify it; False if nothing came of it."""
    file.write_bytes(_no_wal(grown.now.content))
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.create_function("random", 0, lambda: chance.randrange(1 << 30))
        statements: list[str] = []
        db.set_trace_callback(statements.append)
        trial = Trial(chance, db, grown)
        try:
            expected = kind(trial)
        except (Same, sqlite3.IntegrityError):
            return False
        db.commit()
    done.tried += 1
    done.kinds[kind.__name__] += 1
    try:
        found = grown.verify(file, trial.kept)
    except Exception as error:  # noqa: BLE001  # whatever verification stumbles over is what we look for
        done.wrong.append(f"{kind.__name__}: {type(error).__name__}: {error}")
        return True
    done.found += found.problem is not None
    done.right += found.first_bad == expected
    if found.first_bad != expected:
        done.wrong.append(
            f"{kind.__name__}: {expected} expected, {found.first_bad} found ({found.problem}): {statements}"
        )
    return True

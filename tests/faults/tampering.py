"""Random tamperings with a copied store: each must be found, at the right entry; clean stores must raise no alarm."""

import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from orgserver.model.audit import Act, Action, Ending, Outcome
from orgserver.model.names import new_id
from orgserver.notes import Checkpoint
from orgserver.store.opened import Store, open_store
from orgserver.store.verifying import Verification
from orgserver.store.writer import Transaction
from orgserver.vault import Key, Vault

ENTRIES = 12
COLUMNS = (
    "entry_id", "kind", "time", "principal", "org", "tool", "action", "object", "outcome", "canonical", "hash", "mac",
)  # fmt: skip
Tamper = Callable[[sqlite3.Connection, random.Random, int], int | None]
"""Changes a copy with so many events; the first bad sequence, or None where only that something is found counts."""


@dataclass
class Tampered:
    """What was found."""

    tamperings: Counter[str] = field(default_factory=Counter)
    clean: int = 0
    missed: list[str] = field(default_factory=list)
    wrong_place: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not (self.missed or self.wrong_place or self.false_alarms)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.tamperings.items()))
        return (
            f"{self.tamperings.total():,} tamperings ({kinds}): {len(self.missed)} missed {self.missed[:5] or ''}, "
            f"{len(self.wrong_place)} at the wrong entry {self.wrong_place[:5] or ''}; {self.clean:,} clean stores: "
            f"{len(self.false_alarms)} false alarms {self.false_alarms[:5] or ''}"
        )


def _other(value: object, chance: random.Random) -> object:
    """Another value of the same kind, or of another one."""
    if chance.random() < 0.15:
        return chance.choice([x for x in (None, 7, "x", b"x") if x != value])
    if isinstance(value, bytes):
        place = chance.randrange(len(value))
        return value[:place] + bytes([value[place] ^ (1 << chance.randrange(8))]) + value[place + 1 :]
    if isinstance(value, int):
        return value + chance.choice([-1, 1, 1_000_000])
    return f"{value or ''}x"


def edit_event(db: sqlite3.Connection, chance: random.Random, events: int) -> int | None:
    sequence, column = chance.randint(1, events), chance.choice(COLUMNS)
    (value,) = db.execute(f"SELECT {column} FROM audit_events WHERE sequence = ?", (sequence,)).fetchone()
    db.execute(f"UPDATE audit_events SET {column} = ? WHERE sequence = ?", (_other(value, chance), sequence))
    return sequence


def delete(db: sqlite3.Connection, chance: random.Random, events: int) -> int | None:
    first = chance.randint(1, events - 1)
    db.execute("DELETE FROM audit_events WHERE sequence BETWEEN ? AND ?", (first, first + chance.randint(0, 2)))
    return first


def renumber(db: sqlite3.Connection, chance: random.Random, events: int) -> int | None:
    """Delete one, and close the hole."""
    first = chance.randint(1, events - 1)
    db.execute("DELETE FROM audit_events WHERE sequence = ?", (first,))
    for sequence in range(first + 1, events + 1):
        db.execute("UPDATE audit_events SET sequence = ? WHERE sequence = ?", (sequence - 1, sequence))
    return first


def insert(db: sqlite3.Connection, chance: random.Random, events: int) -> int | None:
    """Put a copy of one event in, and move the others up."""
    place = chance.randint(2, events)
    for sequence in range(events, place - 1, -1):
        db.execute("UPDATE audit_events SET sequence = ? WHERE sequence = ?", (sequence + 1, sequence))
    db.execute(
        "INSERT INTO audit_events SELECT ?, 'new', kind, time, principal, org, tool, action, object, outcome, canonical,"
        " hash, mac FROM audit_events WHERE sequence = ?",
        (place, place - 1),
    )
    return place


def swap(db: sqlite3.Connection, chance: random.Random, events: int) -> int | None:
    one, two = sorted(chance.sample(range(1, events + 1), 2))
    for old, new in ((one, -1), (two, one), (-1, two)):
        db.execute("UPDATE audit_events SET sequence = ? WHERE sequence = ?", (new, old))
    return one


def cut_off(db: sqlite3.Connection, chance: random.Random, events: int) -> int | None:
    """Cut the end off, and move the head's plain columns there."""
    last = chance.randint(1, events - 1)
    db.execute("DELETE FROM audit_events WHERE sequence > ?", (last,))
    if chance.random() < 0.5:
        db.execute(
            "UPDATE audit_head SET sequence = ?, hash = (SELECT hash FROM audit_events WHERE sequence = ?)",
            (last, last),
        )
        return None
    return last + 1


def edit_anchor(db: sqlite3.Connection, chance: random.Random, _events: int) -> int | None:
    """Edit the head or a checkpoint."""
    table, column = chance.choice(
        [
            ("audit_head", "sequence"),
            ("audit_head", "hash"),
            ("audit_head", "sealed"),
            ("audit_checkpoints", "hash"),
            ("audit_checkpoints", "note"),
        ]
    )
    (value,) = db.execute(f"SELECT {column} FROM {table}").fetchone()
    changed = _other(value, chance)
    if changed is None:
        changed = "x"
    if column == "note":
        place = chance.randrange(len(value) - 1)
        changed = value[:place] + ("X" if value[place] != "X" else "Y") + value[place + 1 :]
    db.execute(f"UPDATE {table} SET {column} = ?", (changed,))
    return None


def remove_anchor(db: sqlite3.Connection, chance: random.Random, _events: int) -> int | None:
    db.execute(chance.choice(["DELETE FROM audit_head", "DELETE FROM audit_checkpoints", "DELETE FROM audit_indexed"]))
    return None


def edit_search(db: sqlite3.Connection, chance: random.Random, _events: int) -> int | None:
    """Hide an entry from searches, or have it found by something else."""
    sequences = [row[0] for row in db.execute("SELECT sequence FROM audit_entries")]
    sequence = chance.choice(sequences)
    match chance.randrange(4):
        case 0:
            db.execute("DELETE FROM audit_entries WHERE sequence = ?", (sequence,))
        case 1:
            column = chance.choice(("principal", "org", "tool", "action", "object", "outcome", "time", "entry_id"))
            (value,) = db.execute(f"SELECT {column} FROM audit_entries WHERE sequence = ?", (sequence,)).fetchone()
            value = value + 1 if isinstance(value, int) else f"{value or ''}x"
            db.execute(f"UPDATE audit_entries SET {column} = ? WHERE sequence = ?", (value, sequence))
        case 2:
            db.execute("DELETE FROM audit_touched WHERE sequence = ?", (sequence,))
        case _:
            db.execute("INSERT INTO audit_touched VALUES ('003Sb9999999999AAA', ?)", (sequence,))
    return sequence


TAMPERINGS: dict[str, Tamper] = {
    "edited": edit_event,
    "deleted": delete,
    "deleted and renumbered": renumber,
    "inserted": insert,
    "swapped": swap,
    "cut off": cut_off,
    "anchors edited": edit_anchor,
    "anchors removed": remove_anchor,
    "search tables edited": edit_search,
}


async def tampering(*, count: int, clean: int, seed: int) -> Tampered:
    """Tamper with copies of one store so often, and look at so many clean stores."""
    chance = random.Random(seed)
    done = Tampered()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store" / "orgserver.db"
        store = await open_store(file, lambda _create: Vault([Key.new()]))
        await _fill(store, ENTRIES, chance)
        older = _content(file)
        await _fill(store, 3, chance)
        kept = [store.audit.signer.verifier.checkpoint(note) for note in _notes(file)]
        whole = _content(file)
        for number in range(count):
            kind = chance.choice([*TAMPERINGS, "older copy put back"])
            done.tamperings[kind] += 1
            _tamper(done, store, older if kind == "older copy put back" else whole, kind, kept, chance, number)
        await store.close()
        for number in range(clean):
            await _clean(done, Path(folder) / f"clean{number}" / "orgserver.db", chance, number)
    return done


async def _fill(store: Store, entries: int, chance: random.Random) -> None:
    def change(tx: Transaction) -> None:
        for number in range(entries):
            act = Act(
                new_id(),
                chance.choice(["local:me", 'agent "x"', "Ünï"]),
                "stdio",
                chance.choice([Action.CREATE, Action.QUERY]),
                tool=chance.choice([None, "salesforce_query"]),
                org=chance.choice([None, "acme", "globex"]),
                object=chance.choice([None, "Contact", "Event"]),
                fields=("Email",),
            )
            ids = (f"003Sb{number:010d}AAA",)
            store.audit.record_in(tx, act, Ending(chance.choice(list(Outcome)[1:]), record_ids=ids))

    await store.database.write(change)
    await store.audit.look_after(idle_us=0)


def _notes(file: Path) -> list[str]:
    with sqlite3.connect(file) as db:
        found = [row[0] for row in db.execute("SELECT note FROM audit_checkpoints")]
    db.close()
    return found


def _content(file: Path) -> bytes:
    source = sqlite3.connect(file)
    content = bytearray(source.serialize())
    source.close()
    content[18:20] = b"\x01\x01"  # no write-ahead log: there is none in memory
    return bytes(content)


def _tamper(
    done: Tampered,
    store: Store,
    content: bytes,
    kind: str,
    kept: list[Checkpoint],
    chance: random.Random,
    number: int,
) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.deserialize(content)
    (events,) = db.execute("SELECT count(*) FROM audit_events").fetchone()
    expected: int | None
    if kind == "older copy put back":
        expected = events + 1
    else:
        kept = []
        try:
            expected = TAMPERINGS[kind](db, chance, events)
        except sqlite3.IntegrityError:  # the database itself refuses that edit
            done.tamperings[kind] -= 1
            return
    found = _verified(store, db, kept)
    if found.problem is None:
        done.missed.append(f"#{number} {kind} at {expected}")
    elif expected is not None and found.first_bad != expected:
        done.wrong_place.append(f"#{number} {kind}: {found.first_bad}, not {expected}: {found.problem}")


def _verified(store: Store, db: sqlite3.Connection, kept: list[Checkpoint]) -> Verification:
    state = Verification(store.id, store.audit.mac, store.audit.open_head, store.audit.signer.verifier, kept)
    engine = create_engine("sqlite+pysqlite://", creator=lambda: db, poolclass=NullPool)
    with engine.connect() as connection:
        state.run(connection)
    return state


async def _clean(done: Tampered, file: Path, chance: random.Random, number: int) -> None:
    store = await open_store(file, lambda _create: Vault([Key.new()]))
    for _ in range(chance.randint(0, 3)):
        await _fill(store, chance.randint(0, 5), chance)
    found = _verified(store, sqlite3.connect(file), [])
    await store.close()
    done.clean += 1
    if found.problem is not None:
        done.false_alarms.append(f"#{number}: {found.problem}")

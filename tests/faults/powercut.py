"""The power goes at a random moment: what somebody was told is durable is there, and the store goes on.

A process writes into a store, and all that it asks of its disk is recorded (``recorded_writer``, ``watching``). The
files are built again as they may be found after a cut at any moment of that record (``disk``), opened with the
product's own code, and judged. The control is the same with ``synchronous = NORMAL``, which does not sync each commit: there the
judge must see that entries are lost.
"""

import asyncio
import json
import pickle
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, text

from orgserver.model.access.logins import LoginKey
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import OrgserverError
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store.session import Store, open_store
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from orgserver.vault.signed_notes import BadNote, split

from .disk import Acknowledged, Disk, Event, Files, Written, acknowledged
from .recorded_writer import FILE, ROW, refresh_token

CUTS_PER_RECORD = 200
CALLS = 40
PACKAGE = str(__package__)
"""As this run calls it: the record must come back in the same classes."""


@dataclass
class Cuts:
    """What was found after so many cuts."""

    cuts: int = 0
    told: int = 0
    """Acknowledgements that were looked for, all cuts together."""
    lost: Counter[str] = field(default_factory=Counter)
    """Acknowledged and not there, by what it was."""
    with_losses: int = 0
    torn: int = 0
    """Databases that do not pass SQLite's own check, or that the store does not open or read."""
    broken: int = 0
    """Chains that do not verify."""
    stuck: int = 0
    """Stores that do not go on: intents that cannot be settled, or no next entry."""
    wrong: list[str] = field(default_factory=list)
    keep: bool = True
    """Whether files in which something is wrong are kept."""

    @property
    def holds(self) -> bool:
        return not (self.with_losses or self.torn or self.broken or self.stuck)

    def __str__(self) -> str:
        return (
            f"{self.cuts:,} cuts, {self.told:,} acknowledgements: {self.lost.total()} lost {dict(self.lost) or ''} "
            f"in {self.with_losses} cuts, {self.torn} torn, {self.broken} chains broken, {self.stuck} stuck "
            f"{self.wrong[:6] or ''}"
        )


@dataclass
class PowerCuts:
    """The product, and the control whose commits are not synced."""

    product: Cuts
    control: Cuts

    @property
    def holds(self) -> bool:
        """The control shows that the judge sees what is lost."""
        return self.product.holds and self.control.with_losses * 4 >= self.control.cuts

    def __str__(self) -> str:
        return (
            f"{self.product}; control without syncs: entries lost in {self.control.with_losses} of {self.control.cuts}"
        )


async def powercuts(cuts: int, control: int, *, seed: int) -> PowerCuts:
    """So many cuts, spread over a few records, and so many of the control."""
    chance = random.Random(seed)
    return PowerCuts(await _cut_often(cuts, chance, None), await _cut_often(control, chance, "NORMAL"))


async def _cut_often(cuts: int, chance: random.Random, synchronous: str | None) -> Cuts:
    done = Cuts(keep=synchronous is None)
    while done.cuts < cuts:
        key = Key.new()
        record = await recorded(key, chance.randrange(1 << 30), synchronous)
        await cut(done, record, key, chance, min(CUTS_PER_RECORD, cuts - done.cuts))
    return done


async def recorded(key: Key, seed: int, synchronous: str | None = None, calls: int = CALLS) -> list[Event]:
    """What the recorded writer asked of its disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "home"
        folder.mkdir(mode=0o700)
        record = folder.with_name("record")
        told = {"folder": str(folder), "key": key.material().hex(), "seed": seed, "calls": calls}
        told |= {"record": str(record), "synchronous": synchronous}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"{PACKAGE}.recorded_writer", cwd=Path(__file__).parents[PACKAGE.count(".") + 1],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate(json.dumps(told).encode())
        if process.returncode or errors:  # an error within a callback from SQLite does not end the process
            raise RuntimeError(f"the recorded writer failed: {errors.decode().strip().splitlines()[-1]}")
        events: list[Event] = pickle.loads(record.read_bytes())
    if sum(isinstance(event, Written) for event in events) < calls:
        raise RuntimeError("the recorded writer saw too little of what SQLite wrote: it watches another SQLite library")
    return events


async def cut(done: Cuts, record: list[Event], key: Key, chance: random.Random, cuts: int) -> None:
    """Cut one record at random moments: any, or just after somebody was told something."""
    after_word = acknowledged(record)
    moments = [
        chance.choice(after_word) if chance.random() < 0.5 else chance.randrange(len(record)) for _ in range(cuts)
    ]
    disk = Disk(record)
    for moment in sorted(moments):
        disk.play(moment)
        files = disk.cut(chance)
        before = done.lost.total(), done.torn, done.broken, done.stuck
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, content in files.items():
                (folder / file).write_bytes(content)
            await _judge(done, folder / FILE, key, disk.acknowledged)
        done.cuts += 1
        done.with_losses += done.lost.total() > before[0]
        if done.keep and (done.lost.total(), done.torn, done.broken, done.stuck) != before:
            done.wrong.append(f"cut at {moment} of {len(record)}, files kept in {_kept(files)}")


def _kept(files: Files) -> str:
    """What was found wrong, for whoever looks into it: no record is like another."""
    folder = Path(tempfile.mkdtemp(prefix="powercut-"))
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(folder)


async def _judge(done: Cuts, file: Path, key: Key, told: Sequence[Acknowledged]) -> None:
    """Open what was found as the product does, look for all that was told, and go on with it."""
    done.told += len(told)
    notes = file.with_name(f"{FILE}.checkpoints")
    found = notes.read_text("utf-8", "replace") if notes.exists() else ""
    try:
        store = await open_store(file, lambda _create: Vault([key]), abandoned=0)
        try:
            await _look_for(done, store, told)
            await _verify(done, store, [note for note in split(found) if _is_whole(store, note)])
            await _go_on(done, store)
            await _verify(done, store, split(notes.read_text("utf-8")))
        finally:
            await store.close()
    except OrgserverError as error:
        done.torn += 1
        done.wrong.append(f"{type(error).__name__}: {error}")


async def _look_for(done: Cuts, store: Store, told: Sequence[Acknowledged]) -> None:
    whole, events = await store.database.scan(_read)
    if whole != ["ok"]:
        done.torn += 1
        done.wrong.append(f"integrity_check: {whole[:3]}")
    missing = [one for one in told if one.kind in ("intent", "outcome") and (one.kind, one.what) not in events]
    done.lost.update(one.kind for one in missing)
    rotations = max((int(one.what) for one in told if one.kind == "token"), default=0)
    async with store.database.reading() as connection:
        credential = await store.orgs.credentials.credential(connection, LoginKey.shared(ROW))
    if credential is None or credential.refresh_token is None:
        done.lost.update(["token"] * bool(rotations))
    elif credential.fencing < rotations or credential.refresh_token.reveal() != refresh_token(credential.fencing):
        done.lost["token"] += 1


def _read(connection: Connection) -> tuple[list[str], set[tuple[str, str]]]:
    with connection.begin():
        whole = list(connection.execute(text("PRAGMA integrity_check")).scalars())
        events = {
            (row.kind, row.entry_id) for row in connection.execute(text("SELECT kind, entry_id FROM audit_events"))
        }
    return whole, events


def _is_whole(store: Store, note: str) -> bool:
    try:
        store.audit.signer.verifier.checkpoint(note)
    except BadNote:
        return False
    return True


async def _verify(done: Cuts, store: Store, notes: list[str]) -> None:
    """As ``audit verify --checkpoint FILE`` does, with the file beside the store."""
    try:
        problem = (await AuditLogReader(store).verify(external=notes)).problem
    except OrgserverError as error:
        problem = str(error)
    if problem is not None:
        done.broken += 1
        done.wrong.append(problem)


async def _go_on(done: Cuts, store: Store) -> None:
    """Whoever starts next settles what was left behind, and appends."""
    try:
        await store.audit.adopt()
        one = Intent(new_id(), "judge", "stdio", Action.READ, org="acme")
        async with store.database.reading() as connection:
            version = await store.orgs.catalog_version(connection)
            left = (await connection.execute(text("SELECT count(*) FROM audit_pending"))).scalar_one()
        begun = await store.audit.begin(one, deadline=0, catalog_version=version)
        ended = await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED))
        await store.audit.look_after(idle_us=0)
    except OrgserverError as error:
        done.stuck += 1
        done.wrong.append(str(error))
        return
    if left or begun.verdict != "begun" or not ended:
        done.stuck += 1
        done.wrong.append(f"{left} intents are left, the next was {begun.verdict}, its outcome taken: {ended}")

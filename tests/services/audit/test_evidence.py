"""An export of the evidence is believed, or not, with nothing but the file and the public key."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import AuditBroken
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.services.audit import evidence
from orgserver.services.audit.export import event_line
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store.audit import chain
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault import signed_notes
from orgserver.vault.signed_notes import BadNote, Checkpoint, Signer, Verifier
from tests.both_stores import StorePlace

pytestmark = pytest.mark.both_stores

ENTRIES = 12


async def filled(store: Store) -> list[str]:
    for _ in range(ENTRIES):
        act = Intent(new_id(), "local:me", "stdio", Action.CREATE, org="acme", object="Contact")
        await store.audit.record(act, Completion(Outcome.SUCCEEDED, record_ids=("003x",)))
    return [event_line(event) async for event in AuditLogReader(store).events(EntryFilter())]


def verifier(store: Store) -> Verifier:
    return Verifier.read(AuditLogReader(store).public_key)


async def test_an_export_is_whole_and_signed_to_its_end(store: Store) -> None:
    lines = await filled(store)

    found = evidence.check(lines, verifier(store))

    assert found.problem is None
    assert (found.first, found.entries, found.events) == (1, ENTRIES, 2 * ENTRIES + 1)
    assert found.signed_to == 2 * ENTRIES
    assert "checkpoint" in found.checks


async def test_without_the_key_only_the_chain_is_checked(store: Store) -> None:
    found = evidence.check(await filled(store), None)

    assert (found.problem, found.signed_to) == (None, None)
    assert "checkpoint" not in found.checks


TAMPERINGS: dict[str, tuple[Callable[[list[str]], object], int]] = {
    "an edited text": (lambda lines: lines.__setitem__(4, lines[4].replace("acme", "evil")), 5),
    "a removed entry": (lambda lines: lines.pop(6), 7),
    "two swapped": (lambda lines: lines.insert(3, lines.pop(4)), 4),
    "one written twice": (lambda lines: lines.insert(9, lines[9]), 11),
    "the end cut off, checkpoint kept": (lambda lines: lines.__delitem__(slice(20, -1)), 21),
    "the checkpoint cut off": (lambda lines: lines.pop(), 25),
}


@pytest.mark.parametrize("kind", TAMPERINGS)
async def test_every_tampering_is_found_at_its_first_entry(store: Store, kind: str) -> None:
    lines = await filled(store)
    tamper, first_bad = TAMPERINGS[kind]
    tamper(lines)

    found = evidence.check(lines, verifier(store))

    assert found.problem is not None
    assert found.first_bad == first_bad


async def test_a_log_that_was_written_anew_from_its_first_edit_on_is_not_the_signed_one(store: Store) -> None:
    lines = await filled(store)
    events = [json.loads(line) for line in lines[:-1]]
    previous = bytes.fromhex(events[0]["previous_hash"])
    for event in events:
        event["canonical"] = event["canonical"].replace("acme", "evil")
        event["previous_hash"] = previous.hex()
        previous = chain.link(previous, event["sequence"], event["canonical"].encode())
        event["hash"] = previous.hex()

    found = evidence.check([*map(json.dumps, events), lines[-1]], verifier(store))

    assert found.first_bad == 2 * ENTRIES
    assert "not the one its checkpoint names" in (found.problem or "")


async def test_an_export_of_another_log_is_not_believed(store: Store) -> None:
    other = Signer("orgserver/somebody", bytes(32)).verifier

    found = evidence.check(await filled(store), other)

    assert "not of this log" in (found.problem or "")


@pytest.mark.parametrize("canonical", ["[]", "no JSON", "[" * 100_000], ids=["list", "no JSON", "deep"])
async def test_what_is_hashed_well_and_is_no_event_is_found_where_it_stands(store: Store, canonical: str) -> None:
    *events, note = await filled(store)
    last = json.loads(events[-1])
    hash_ = chain.link(bytes.fromhex(last["hash"]), last["sequence"] + 1, canonical.encode())
    forged = {
        "sequence": last["sequence"] + 1,
        "previous_hash": last["hash"],
        "hash": hash_.hex(),
        "mac": "",
        "canonical": canonical,
    }

    found = evidence.check([*events, json.dumps(forged), note], None)

    assert found.first_bad == last["sequence"] + 1
    assert "edited" in (found.problem or "")


async def test_a_checkpoint_of_another_log_is_refused_for_an_export_even_without_the_key(store: Store) -> None:
    foreign = Checkpoint("orgserver/other", 1_000, bytes(32))

    with pytest.raises(AuditBroken, match="it is of orgserver/other"):
        evidence.check(await filled(store), None, external=[foreign])


async def test_a_checkpoint_kept_elsewhere_contradicts_an_export_written_anew(store: Store) -> None:
    lines = await filled(store)
    kept = Checkpoint(store.audit.signer.origin, 10, bytes(32))

    found = evidence.check(lines, verifier(store), external=[kept])

    assert found.first_bad == 10


@pytest.mark.parametrize("text", ["", "junk", "{}", "[1]", '{"sequence": 1}'])
def test_a_file_that_is_no_export_is_said_to_be_none(text: str) -> None:
    with pytest.raises(evidence.NoExport):
        evidence.check(text.splitlines(), None)


# -- checkpoints


async def test_checkpoints_are_in_the_store_in_the_chain_and_in_a_file_beside_it(
    store: Store, store_file: Path
) -> None:
    await filled(store)
    await store.audit.look_after(idle_us=0)
    file = store_file.with_name(store_file.name + ".checkpoints")

    (note,) = signed_notes.split(file.read_text())

    assert verifier(store).checkpoint(note).sequence == 2 * ENTRIES
    assert file.stat().st_mode & 0o777 == 0o600
    found = await AuditLogReader(store).verify(external=[note])
    assert found.problem is None
    assert "checkpoints" in found.checks


@pytest.mark.parametrize("left", [0, 9, 50, 100, 235])
async def test_a_checkpoint_that_a_power_cut_tore_is_written_again_when_the_store_is_next_looked_after(
    store_file: Path, opener: Callable, left: int
) -> None:
    store = await opener()
    for _ in range(3):
        await filled(store)
    await store.close()
    file = store_file.with_name(store_file.name + ".checkpoints")
    whole = file.read_bytes()
    (*_, last) = signed_notes.split(whole.decode())
    file.write_bytes(whole.removesuffix(f"{last}\n".encode()) + last.encode()[:left] + bytes(99))

    again = await opener()
    await again.audit.look_after()
    await again.close()

    assert file.read_bytes() == whole


async def test_what_is_damaged_among_the_checkpoints_takes_no_whole_one_with_it(
    store_file: Path, opener: Callable
) -> None:
    store = await opener()
    for _ in range(3):
        await filled(store)
    await store.close()
    file = store_file.with_name(store_file.name + ".checkpoints")
    first, second, third = (f"{note}\n" for note in signed_notes.split(file.read_text()))
    file.write_text(f"{first}{second[:150]}{third}")

    again = await opener()
    await again.audit.look_after()
    await again.close()

    assert file.read_text() == first + third


async def test_nothing_new_makes_no_checkpoint(store: Store, store_file: Path) -> None:
    await filled(store)
    for _ in range(3):
        await store.audit.look_after(idle_us=0)

    assert len(signed_notes.split(store_file.with_name(store_file.name + ".checkpoints").read_text())) == 1


async def test_every_thousand_events_make_a_checkpoint_by_themselves(store: Store) -> None:
    def many(tx: Transaction) -> None:
        for _ in range(600):
            act = Intent(new_id(), "local:me", "stdio", Action.CREATE)
            store.audit.record_in(tx, act, Completion(Outcome.SUCCEEDED))

    await store.database.write(many)
    await store.audit.look_after()

    found = await AuditLogReader(store).verify()
    assert (found.problem, found.events) == (None, 1_201)


async def test_an_older_copy_that_was_put_back_is_told_by_a_checkpoint_kept_elsewhere(
    store_file: Path, tmp_path: Path, opener: Callable
) -> None:
    store = await opener()
    await filled(store)
    older = tmp_path / "older" / "orgserver.db"
    older.parent.mkdir()
    copy = sqlite3.connect(older)
    source = sqlite3.connect(store_file)
    source.backup(copy)
    copy.close()
    source.close()
    await filled(store)
    (*_, newest) = signed_notes.split(store_file.with_name(store_file.name + ".checkpoints").read_text())
    await store.close()
    older.replace(store_file)
    for ending in ("-wal", "-shm"):
        store_file.with_name(store_file.name + ending).unlink(missing_ok=True)

    back = await opener()
    alone = await AuditLogReader(back).verify()
    told = await AuditLogReader(back).verify(external=[newest])
    await back.close()

    assert alone.problem is None
    assert "older copy" in (told.problem or "")


async def test_a_checkpoint_of_another_store_is_refused_in_one_line(store: Store) -> None:
    foreign = Signer("orgserver/other", bytes(32))
    note = foreign.sign(Checkpoint("orgserver/other", 3, bytes(32)).text())

    with pytest.raises(AuditBroken, match="cannot be compared"):
        await AuditLogReader(store).verify(external=[note])


async def test_an_incremental_verification_begins_where_the_last_good_one_ended(store: Store, caller: Caller) -> None:
    audit_log = AuditLogReader(store)
    await filled(store)
    await audit_log.record_verification(caller, await audit_log.verify())
    await filled(store)

    found = await audit_log.verify(since_checkpoint=True)

    assert (found.problem, found.since) == (None, 2 * ENTRIES)
    assert found.entries < 2 * ENTRIES


async def test_a_log_that_was_tampered_with_is_exported_as_it_is(store: Store, store_place: StorePlace) -> None:
    await filled(store)
    store_place.edit("UPDATE audit_head SET sequence = 3")

    lines = [event_line(event) async for event in AuditLogReader(store).events(EntryFilter())]

    assert len(lines) == 2 * ENTRIES + 2


async def test_a_checkpoint_file_that_cannot_be_written_stops_nothing(store: Store, store_file: Path) -> None:
    store_file.with_name(store_file.name + ".checkpoints").mkdir()

    await filled(store)

    assert (await AuditLogReader(store).verify()).problem is None


@pytest.mark.parametrize(
    ("table", "edit", "first_bad"),
    [
        ("audit_entries", "DELETE FROM audit_entries WHERE sequence = 5", 5),
        ("audit_entries", "UPDATE audit_entries SET org = 'other' WHERE sequence = 7", 7),
        ("audit_entries", "UPDATE audit_entries SET outcome = 'denied' WHERE sequence = 9", 9),
        (
            "audit_entries",
            "UPDATE audit_entries SET outcome = 'pending', outcome_sequence = NULL WHERE sequence = 9",
            9,
        ),
        ("audit_touched", "DELETE FROM audit_touched WHERE sequence = 3", 3),
        ("audit_touched", "INSERT INTO audit_touched VALUES ('003y', 3)", 3),
        ("audit_checkpoints", "DELETE FROM audit_checkpoints", 25),
        ("audit_checkpoints", "UPDATE audit_checkpoints SET note = replace(note, '24', '23')", 24),
    ],
)
async def test_what_people_search_by_and_checkpoints_are_part_of_what_verifies(
    store: Store, store_place: StorePlace, table: str, edit: str, first_bad: int
) -> None:
    await filled(store)
    store_place.edit(edit)

    found = await AuditLogReader(store).verify()

    assert (found.first_bad, bool(found.problem)) == (first_bad, True)


@given(st.integers(0, 1 << 60), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_note_is_read_as_it_was_signed(sequence: int, hash_: bytes, seed: bytes) -> None:
    signer = Signer("orgserver/x", seed)
    told = Checkpoint("orgserver/x", sequence, hash_)
    note = signer.sign(told.text())

    assert Verifier.read(str(signer.verifier)).checkpoint(note) == told
    assert signed_notes.split(f"{note}\n{note}\n") == [note, note]


@given(st.text(max_size=200))
def test_junk_is_no_note_and_no_key(text: str) -> None:
    with pytest.raises(BadNote):
        Signer("orgserver/x", bytes(32)).verifier.check(text)
    with pytest.raises(BadNote):
        Verifier.read(text)


@pytest.mark.parametrize("signature", ["é" * 96, "\ud800", "====", ""])
def test_a_signature_that_is_no_base64_is_refused_and_not_stumbled_over(signature: str) -> None:
    signer = Signer("orgserver/test", b"s" * 32)
    note = signer.sign("orgserver/test\n1\nAA==\n")
    damaged = note[: note.rindex(" ") + 1] + signature + "\n"

    with pytest.raises(BadNote):
        signer.verifier.check(damaged)

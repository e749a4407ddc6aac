"""The audit log: intent before, one outcome after, chained; what is edited, removed or left behind is found."""

import asyncio
import gc
import json
import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action, AuditEntry, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import AuditBroken
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.services.audit.export import RENDER, csv_header, event_line
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store import tables
from orgserver.store.audit import chain
from orgserver.store.calls.idempotency import IdempotencyKey
from orgserver.store.catalog_version import changed_in
from orgserver.store.processes.locks import hold_lock
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction, to_datetime, to_microseconds
from tests.both_stores import StorePlace

FAR = 1 << 60
pytestmark = pytest.mark.both_stores


def act(**details: object) -> Intent:
    given_ = {"principal": "local:me", "transport": "stdio", "action": Action.CREATE, "org": "acme"} | details
    return Intent(id=new_id(), **given_)  # type: ignore[arg-type]


async def begin(store: Store, one: Intent) -> None:
    begun = await store.audit.begin(one, deadline=FAR, catalog_version=1)
    assert begun.verdict == "begun"


async def fill(store: Store, count: int) -> list[Intent]:
    acts = [act(object=f"Thing{number % 3}", fields=("LastName",)) for number in range(count)]
    for one in acts:
        await begin(store, one)
        assert await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED, record_ids=("003x",), row_count=1))
    return acts


async def all_entries(store: Store, wanted: EntryFilter | None = None) -> list[AuditEntry]:
    return [entry async for entry in AuditLogReader(store).entries(wanted or EntryFilter())]


async def test_an_intent_is_on_the_disk_before_anybody_goes_on(store: Store, store_file: Path) -> None:
    one = act()
    await begin(store, one)

    connection = sqlite3.connect(store_file)
    rows = connection.execute("SELECT kind, entry_id FROM audit_events").fetchall()
    connection.close()

    assert rows == [("intent", one.id)]
    assert (await all_entries(store))[0].outcome is Outcome.PENDING


async def test_events_leave_no_circles_of_objects_to_be_looked_for(store: Store, store_file: Path) -> None:
    del store_file  # on SQLite alone: the driver of the other leaves some of its own with each commit
    await fill(store, 1)
    gc.collect()

    await fill(store, 20)

    assert gc.collect() < 20


async def test_the_first_outcome_wins_and_a_late_one_is_refused(store: Store) -> None:
    one = act()
    await begin(store, one)

    assert await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED))
    assert not await store.audit.finish(one.id, Completion(Outcome.REJECTED))
    assert [entry.outcome for entry in await all_entries(store)] == [Outcome.SUCCEEDED]


async def test_an_intent_whose_neighbour_failed_is_not_taken_for_that_of_a_dead_process(
    store: Store, opener: Callable, store_file: Path
) -> None:
    def fail(_tx: Transaction) -> None:
        raise ValueError("of the neighbour alone")

    other = await opener()
    one = act()
    with hold_lock(store_file):  # both wait, so they go into one group
        beginning = asyncio.create_task(begin(store, one))
        failing = asyncio.create_task(store.database.write(fail))
        await asyncio.sleep(0.05)
    await beginning
    with pytest.raises(ValueError, match="neighbour"):
        await failing

    assert await other.audit.adopt() == 0
    assert await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED))
    await other.close()


async def test_sequences_have_no_holes_whoever_writes(store: Store, opener: Callable) -> None:
    other = await opener()
    await asyncio.gather(*(fill(each, 20) for each in (store, other, store, other)))

    async with store.database.reading() as connection:
        numbers = (
            (await connection.execute(select(tables.audit_events.c.sequence).order_by("sequence"))).scalars().all()
        )

    assert numbers == list(range(1, 161))
    assert (await AuditLogReader(other).verify()).problem is None
    await other.close()


async def test_the_kept_bytes_are_canonical(store: Store) -> None:
    await begin(store, act(label="Ünïcode ☃", client=None))

    async with store.database.reading() as connection:
        row = (await connection.execute(select(tables.audit_events))).one()

    event = json.loads(row.canonical)
    assert row.canonical == json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert "client" not in event
    assert row.hash == chain.link(chain.genesis(store.id), 1, row.canonical)
    assert event["time"] == chain.time_text(row.time)


@given(
    st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=9), st.lists(st.text(max_size=3))))
)
def test_canonical_bytes_do_not_depend_on_order(event: dict) -> None:
    turned = dict(reversed(list(event.items())))

    assert chain.canonical(event) == chain.canonical(turned)


_ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=9)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), _ANY_TEXT, st.sampled_from(Outcome)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_ANY_TEXT, inner, max_size=3)),
    max_leaves=9,
)


@given(st.dictionaries(_ANY_TEXT, _JSON))
def test_canonical_bytes_are_those_of_the_standard_librarys_json(event: dict) -> None:
    values = {name: value for name, value in event.items() if value not in (None, (), "")}

    text = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert chain.canonical(event) == text.encode("utf-8", "backslashreplace")


@given(st.integers(0, 1 << 52))
def test_times_are_read_as_they_were_written(microseconds: int) -> None:
    assert chain.microseconds_of(chain.time_text(microseconds)) == microseconds
    assert to_microseconds(to_datetime(microseconds)) == microseconds


# -- intents left behind


async def test_intents_of_a_dead_process_become_unknown(opener: Callable) -> None:
    dead = await opener(abandoned=0.05, heartbeat=0.02)
    one = act()
    await begin(dead, one)
    await dead.database.close()  # as a crash would: no outcome, no goodbye

    living = await opener(abandoned=0.05, heartbeat=0.02)
    async with asyncio.timeout(10):
        while not await living.audit.adopt():
            pass

    entry = (await all_entries(living))[0]
    assert (entry.id, entry.outcome, entry.error_code) == (one.id, Outcome.UNKNOWN, "ABANDONED")
    assert not await living.audit.finish(one.id, Completion(Outcome.SUCCEEDED))
    await living.close()


async def test_intents_of_a_process_that_is_alive_are_left_alone(store: Store, opener: Callable) -> None:
    one = act()
    await begin(store, one)
    other = await opener()

    assert await other.audit.adopt() == 0
    assert await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED))
    await other.close()


async def test_an_intent_long_past_its_deadline_becomes_unknown(opener: Callable) -> None:
    store = await opener(abandoned=0.01)
    one = act()
    await store.audit.begin(one, deadline=0, catalog_version=1)

    assert await store.audit.adopt() == 1
    assert not await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED))
    await store.close()


async def test_an_abandoned_key_stays_unknown(opener: Callable) -> None:
    store = await opener(abandoned=0.01)
    key = IdempotencyKey("local:me", "row", b"k" * 32, b"a" * 32)
    await store.audit.begin(act(), deadline=0, catalog_version=1, idempotency_key=key)
    assert await store.audit.adopt() == 1

    again = await store.audit.begin(act(), deadline=FAR, catalog_version=1, idempotency_key=key)

    assert (again.verdict, again.outcome, again.answer) == ("replay", "unknown", None)
    await store.close()


async def test_an_intent_that_saw_other_orgs_is_not_written(store: Store) -> None:
    begun = await store.audit.begin(act(), deadline=FAR, catalog_version=99)

    assert begun.verdict == "catalog_changed"
    assert await all_entries(store) == []


async def test_an_answer_of_before_is_not_given_to_who_saw_other_orgs(store: Store) -> None:
    one, key = act(), IdempotencyKey("local:me", "row", b"k" * 32, b"a" * 32)
    begun = await store.audit.begin(one, deadline=FAR, catalog_version=1, idempotency_key=key)
    assert begun.verdict == "begun"
    await store.audit.finish(one.id, Completion(Outcome.SUCCEEDED), b"answer")

    late = await store.audit.begin(act(), deadline=FAR, catalog_version=99, idempotency_key=key)

    assert late.verdict == "catalog_changed"


async def test_an_intent_behind_a_change_of_orgs_is_not_written_though_both_go_in_together(store: Store) -> None:
    await fill(store, 1)
    await store.database.write(changed_in)  # all statements are compiled: they fit into the turn of a group
    started, gate = threading.Event(), threading.Event()

    def block(_tx: Transaction) -> None:
        started.set()
        gate.wait()

    blocking = asyncio.create_task(store.database.write(block))
    await asyncio.to_thread(started.wait)
    before, behind = (store.audit.begin(act(), deadline=FAR, catalog_version=2) for _ in range(2))
    waiting = [asyncio.create_task(each) for each in (before, store.database.write(changed_in), behind)]
    await asyncio.sleep(0)  # all are in the queue
    gate.set()

    await blocking
    begun, _, late = await asyncio.gather(*waiting)

    assert (begun.verdict, late.verdict) == ("begun", "catalog_changed")


# -- what is tampered with is found

TAMPERINGS: list[Callable[[random.Random, int], tuple[str, int]]] = [
    lambda r, n: (f"UPDATE audit_events SET canonical = canonical || ' ' WHERE sequence = {n}", n),
    lambda r, n: (
        f"UPDATE audit_events SET canonical = replace(canonical, '\"v\":1', '\"v\":2') WHERE sequence = {n}",
        n,
    ),
    lambda r, n: (f"UPDATE audit_events SET hash = zeroblob(32) WHERE sequence = {n}", n),
    lambda r, n: (f"UPDATE audit_events SET mac = zeroblob(32) WHERE sequence = {n}", n),
    lambda r, n: (f"UPDATE audit_events SET time = time + 1 WHERE sequence = {n}", n),
    lambda r, n: (f"UPDATE audit_events SET principal = 'nobody' WHERE sequence = {n}", n),
    lambda r, n: (f"UPDATE audit_events SET org = 'globex' WHERE sequence = {n}", n),
    lambda r, n: (f"UPDATE audit_events SET outcome = 'denied' WHERE sequence = {n}", n),
    lambda r, n: (f"UPDATE audit_events SET entry_id = 'other' WHERE sequence = {n}", n),
    lambda r, n: (f"DELETE FROM audit_events WHERE sequence = {n}", n),
    lambda r, n: (f"DELETE FROM audit_events WHERE sequence >= {n}", n),
    lambda r, n: (
        f"UPDATE audit_events SET sequence = -1 WHERE sequence = {n};"
        f"UPDATE audit_events SET sequence = {n} WHERE sequence = {n - 1};"
        f"UPDATE audit_events SET sequence = {n - 1} WHERE sequence = -1",
        n - 1,
    ),
]


async def test_every_tampering_is_found_at_its_first_sequence(opener: Callable, store_place: StorePlace) -> None:
    store = await opener()
    await fill(store, 25)
    await store.close()
    store_place.keep()
    chance = random.Random(7)
    for number, tampering in enumerate(TAMPERINGS * 3):
        store_place.put_back()
        statements, first_bad = tampering(chance, chance.randint(3, 50))
        store_place.edit(statements)

        opened = await opener()
        found = await AuditLogReader(opened).verify()
        await opened.close()

        assert found.problem is not None, number
        assert found.first_bad == first_bad, (number, found)


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM audit_head",
        "UPDATE audit_head SET sequence = 'x'",
        "UPDATE audit_head SET sequence = x'01'",
        "INSERT INTO audit_head SELECT 2, sequence, hash, sealed FROM audit_head",
        "INSERT INTO audit_touched VALUES ('003x', 'x')",
        "INSERT INTO audit_touched VALUES ('003x', x'ff')",
        "INSERT INTO audit_touched VALUES ('003x', 9e999)",
        "INSERT INTO audit_touched VALUES (CAST(x'ff' AS TEXT), 1)",
        "UPDATE audit_indexed SET sequence = CAST(x'ff' AS TEXT)",
    ],
)
async def test_what_can_be_no_row_of_ours_is_told_as_tampering(store: Store, store_file: Path, tampering: str) -> None:
    await fill(store, 3)
    with closing(sqlite3.connect(store_file)) as connection, connection:
        connection.execute(tampering)

    result = await AuditLogReader(store).verify()

    assert result.problem is not None
    assert result.first_bad is not None
    if tampering.startswith("DELETE"):
        with pytest.raises(AuditBroken):
            await store.audit.record(act(), Completion(Outcome.SUCCEEDED))


async def test_a_cut_tail_with_a_moved_head_is_found(opener: Callable, store_place: StorePlace) -> None:
    store = await opener()
    await fill(store, 5)
    await store.close()
    store_place.edit(
        "DELETE FROM audit_events WHERE sequence > 6;"
        "UPDATE audit_head SET sequence = 6, hash = (SELECT hash FROM audit_events WHERE sequence = 6)"
    )

    opened = await opener()
    found = await AuditLogReader(opened).verify()

    assert found.problem is not None
    await opened.close()


async def test_a_store_whose_head_was_changed_takes_no_more_entries(opener: Callable, store_place: StorePlace) -> None:
    store = await opener()
    await fill(store, 3)
    await store.close()
    store_place.edit("UPDATE audit_head SET sequence = 4")

    opened = await opener()
    with pytest.raises(Exception, match="head of the audit chain"):
        await begin(opened, act())
    await opened.close()


@pytest.mark.parametrize("column", ["sequence", "hash", "sealed"])
async def test_a_head_that_changed_between_two_writes_of_one_process_takes_no_more_entries(
    opener: Callable, store_place: StorePlace, column: str
) -> None:
    store = await opener()
    await fill(store, 2)
    changed = {"sequence": "sequence + 1", "hash": "zeroblob(32)", "sealed": "zeroblob(69)"}[column]
    store_place.edit(f"UPDATE audit_head SET {column} = {changed}")

    with pytest.raises(AuditBroken, match="head of the audit chain"):
        await begin(store, act())
    await store.close()


async def test_a_head_that_another_process_moved_is_gone_on_from(opener: Callable) -> None:
    first, second = await opener(), await opener()
    for _ in range(3):
        await fill(first, 2)
        await fill(second, 1)

    assert [entry.sequence for entry in await all_entries(second)] == [*range(1, 18, 2)]
    await first.close()
    await second.close()


async def test_clean_stores_raise_no_alarm(opener: Callable) -> None:
    store = await opener()
    for count in (0, 1, 7, 40):
        await fill(store, count)
        found = await AuditLogReader(store).verify()
        assert (found.problem, found.first_bad) == (None, None)
    await store.close()


# -- reading and exporting


async def test_filters_hold_together(store: Store) -> None:
    await store.audit.record(act(org="acme", action=Action.READ, object="Contact"), Completion(Outcome.DENIED))
    await store.audit.record(act(org="globex", object="Event", principal="bot"), Completion(Outcome.SUCCEEDED))
    await store.audit.record(
        act(org="globex", object="Contact", tool="t", record_ids=("003Sb0000000001AAA",)), Completion(Outcome.SUCCEEDED)
    )
    everything = await all_entries(store)

    for wanted, expected in [
        (EntryFilter(org="globex"), {1, 2}),
        (EntryFilter(org="globex", object="contact"), {2}),
        (EntryFilter(principal="bot"), {1}),
        (EntryFilter(tool="t"), {2}),
        (EntryFilter(action="read"), {0}),
        (EntryFilter(outcome="denied"), {0}),
        (EntryFilter(record_id="003Sb0000000001AAA"), {2}),
        (EntryFilter(since=everything[1].time), {1, 2}),
        (EntryFilter(until=everything[1].time), {0}),
        (EntryFilter(outcome="pending"), set()),
    ]:
        assert {everything.index(entry) for entry in await all_entries(store, wanted)} == expected, wanted


async def test_the_newest_come_first_and_pages_do_not_matter(store: Store) -> None:
    acts = [act() for _ in range(1_100)]
    await asyncio.gather(*(store.audit.record(one, Completion(Outcome.SUCCEEDED)) for one in acts))

    newest = await AuditLogReader(store).newest(EntryFilter(), 700)
    everything = await all_entries(store)

    assert [entry.sequence for entry in newest] == sorted((entry.sequence for entry in newest), reverse=True)
    assert len(newest) == 700
    assert {entry.id for entry in everything} == {one.id for one in acts}


async def test_the_evidence_verifies_by_itself(store: Store) -> None:
    await fill(store, 300)
    *events, last = [json.loads(event_line(event)) async for event in AuditLogReader(store).events(EntryFilter())]

    previous = chain.genesis(store.id)
    for number, event in enumerate(events, 1):
        assert event["sequence"] == number
        assert bytes.fromhex(event["previous_hash"]) == previous
        previous = chain.link(previous, number, event["canonical"].encode())
        assert event["hash"] == previous.hex()
    assert len(events) == 601
    assert store.audit.signer.verifier.checkpoint(last["checkpoint"]).sequence == 600


async def test_an_exported_line_has_the_contracts_fields_in_order(store: Store) -> None:
    (one,) = await fill(store, 1)
    entry = (await all_entries(store))[0]

    assert list(json.loads(RENDER["jsonl"](entry.as_json()))) == csv_header().split(",")
    assert csv_header().startswith(
        "id,sequence,time,duration_ms,principal,client,transport,request_id,label,org,org_id"
    )
    assert RENDER["csv"](entry.as_json()).startswith(f"{one.id},1,")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
async def test_no_cell_is_a_formula(store: Store, text: str) -> None:
    await store.audit.record(act(label=text), Completion(Outcome.SUCCEEDED))
    line = RENDER["csv"]((await all_entries(store))[0].as_json())

    assert f"'{text}" in line


async def test_exporting_is_itself_an_entry(store: Store) -> None:
    await AuditLogReader(store).record_export(Caller(Principal("local:admin"), "cli"), "audit export", 5)

    entry = (await all_entries(store))[0]
    assert (entry.action, entry.principal, entry.row_count) == ("export", "local:admin", 5)


@pytest.mark.parametrize("name", ["Ärzte GmbH", "İstanbul", "straße", "Local:Me", "ΣΊΣΥΦΟΣ"])
async def test_a_principal_is_found_however_its_letters_are_written(store: Store, name: str) -> None:
    act = Intent(new_id(), name, "stdio", Action.READ)
    await store.audit.record(act, Completion(Outcome.SUCCEEDED))

    assert [each.principal for each in await AuditLogReader(store).newest(EntryFilter(principal=name), 5)] == [name]

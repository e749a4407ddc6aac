"""Pruning: what is left still verifies, and a base that nobody signed is found."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select

from orgserver.model.access.principals import Principal
from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import AuditBroken, OperatorError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.services.audit import evidence
from orgserver.services.audit.export import event_line
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.audit.retention import Retention
from orgserver.store import tables
from orgserver.store.audit import pruning
from orgserver.store.audit.base import Base, read_base
from orgserver.store.session import Store
from orgserver.vault.signed_notes import Verifier
from tests.both_stores import StorePlace

pytestmark = pytest.mark.both_stores

ME = Caller(Principal("local:me"), "cli")
LATER = datetime.now(UTC) + timedelta(days=400)
FAR = 1 << 60


def quiet(_done: int, _total: int) -> None:
    return


def act(**details: object) -> Intent:
    given = {"principal": "bot", "transport": "stdio", "action": Action.CREATE, "org": "acme"} | details
    return Intent(id=new_id(), **given)  # type: ignore[arg-type]


async def fill(store: Store, count: int, **details: object) -> None:
    ended = Completion(Outcome.SUCCEEDED, record_ids=("003x",))
    await asyncio.gather(*(store.audit.record(act(**details), ended) for _ in range(count)))
    await store.audit.look_after(idle_us=0)


async def prune(store: Store, before: datetime = LATER) -> int:
    cut = await Retention(store).plan(before)
    await Retention(store).prune(ME, cut, quiet)
    return cut.sequence


async def rows(store: Store, table: str) -> int:
    async with store.database.reading() as connection:
        found = select(func.count()).select_from(tables.metadata.tables[table])
        return int((await connection.execute(found)).scalar_one())


async def test_what_is_left_after_pruning_still_verifies(store: Store) -> None:
    await fill(store, 30)
    await fill(store, 5, org="globex")

    sequence = await prune(store)
    found = await AuditLogReader(store).verify()

    assert found.problem is None
    assert sequence == 71
    left = [entry async for entry in AuditLogReader(store).entries(EntryFilter())]
    assert [(entry.action, entry.row_count, entry.principal) for entry in left] == [("prune", 35, "local:me")]
    assert await rows(store, "audit_touched") == 0


async def test_a_long_cut_is_made_in_steps_that_each_verify(store: Store) -> None:
    for _ in range(4):
        await fill(store, 400)
    cut = await Retention(store).plan(LATER)
    at, steps = 0, 0

    while at < cut.sequence:
        began = at
        at = await store.database.write(
            lambda tx, began=began: pruning.step_in(tx, store.audit, ME, began, cut.sequence, step=1_000)
        )
        steps += 1
        assert (await AuditLogReader(store).verify()).problem is None

    assert steps > 1


async def test_pruning_twice_moves_the_base_on(store: Store) -> None:
    await fill(store, 10)
    first = await prune(store)
    await fill(store, 10)
    second = await prune(store)

    assert second > first
    assert (await AuditLogReader(store).verify()).problem is None
    async with store.database.reading() as connection:
        base = await read_base(connection, store.id)
    assert (base.sequence, base.intents) == (second, 21)


async def test_values_that_were_kept_of_pruned_entries_go_too(store: Store) -> None:
    one = act()
    await store.audit.record(one, Completion(Outcome.SUCCEEDED))
    row = {"row_id": "r", "object": "Contact", "record_id": "003", "time": 1, "salt": b"s", "sealed": b"x"}
    await store.database.write(
        lambda tx: tx.connection.execute(
            insert(tables.kept_values), [row | {"entry_id": one.id}, row | {"entry_id": "another"}]
        )
    )
    await store.audit.look_after(idle_us=0)

    await prune(store)

    async with store.database.reading() as connection:
        assert (await connection.execute(select(tables.kept_values.c.entry_id))).scalars().all() == ["another"]


async def test_an_entry_that_has_not_ended_is_never_parted(store: Store) -> None:
    await fill(store, 3)
    waiting = act()
    await store.audit.begin(waiting, deadline=FAR, catalog_version=1)
    await fill(store, 3)

    assert (await Retention(store).plan(LATER)).sequence == 6
    await store.audit.finish(waiting.id, Completion(Outcome.SUCCEEDED))
    assert (await Retention(store).plan(LATER)).sequence == 6

    await fill(store, 1)
    assert (await Retention(store).plan(LATER)).sequence > 14


async def test_nothing_younger_than_the_given_age_is_cut(store: Store) -> None:
    await fill(store, 5)

    with pytest.raises(OperatorError, match="nothing to prune"):
        await Retention(store).plan(datetime.now(UTC) - timedelta(days=1))


@pytest.mark.parametrize(
    ("wanted", "covers"),
    [
        (EntryFilter(), True),
        (EntryFilter(org="ACME"), True),
        (EntryFilter(org="globex"), False),
        (EntryFilter(record_id="003x"), True),
        (EntryFilter(record_id="003y"), False),
        (EntryFilter(until=datetime(2020, 1, 1, tzinfo=UTC)), False),
        (EntryFilter(since=datetime(2020, 1, 1, tzinfo=UTC)), True),
        (EntryFilter(since=LATER), False),
    ],
)
async def test_a_hold_keeps_what_it_covers(store: Store, wanted: EntryFilter, covers: bool) -> None:
    await fill(store, 5)
    retention = Retention(store)
    await retention.hold(ME, "case-17", wanted)

    if covers:
        with pytest.raises(OperatorError, match="case-17"):
            await retention.plan(LATER)
        await retention.release(ME, "case-17")
    await prune(store)

    assert (await AuditLogReader(store).verify()).problem is None


async def test_a_hold_that_comes_between_plan_and_cut_is_kept(store: Store) -> None:
    await fill(store, 5)
    cut = await Retention(store).plan(LATER)
    await Retention(store).hold(ME, "late", EntryFilter(org="acme"))

    with pytest.raises(OperatorError, match="late"):
        await Retention(store).prune(ME, cut, quiet)
    assert await rows(store, "audit_base") == 0


async def test_holds_are_on_record(store: Store) -> None:
    await Retention(store).hold(ME, "case-17", EntryFilter(org="acme"))
    await Retention(store).release(ME, "case-17")

    entries = [entry async for entry in AuditLogReader(store).entries(EntryFilter())]
    assert [(entry.tool, entry.label, entry.org) for entry in entries] == [
        ("audit hold", "case-17", "acme"),
        ("audit hold --release", "case-17", None),
    ]


async def test_the_evidence_of_a_cut_proves_itself_and_so_does_that_of_the_rest(store: Store) -> None:
    await fill(store, 600)
    await prune(store)
    await fill(store, 700)
    cut = await Retention(store).plan(LATER)
    key = Verifier.read(AuditLogReader(store).public_key)

    lines = [event_line(event) async for event in Retention(store).read_evidence(cut)]
    found = evidence.check(lines, key)
    rest = evidence.check([event_line(event) async for event in AuditLogReader(store).events(EntryFilter())], key)

    assert (found.problem, found.first, found.signed_to) == (None, cut.base.sequence + 1, cut.sequence)
    assert (rest.problem, rest.first) == (None, cut.base.sequence + 1)


@pytest.mark.parametrize(
    ("statements", "first_bad"),
    [
        ("DELETE FROM audit_base", 1),
        ("UPDATE audit_base SET sequence = 15", 15),
        ("UPDATE audit_base SET hash = zeroblob(32)", 20),
        ("UPDATE audit_base SET intents = 3", 20),
        ("UPDATE audit_base SET note = replace(note, 'base', 'bass')", 20),
        ("UPDATE audit_base SET note = (SELECT note FROM audit_checkpoints WHERE sequence = 20)", 20),
        ("DELETE FROM audit_events WHERE sequence = 22", 22),
        (
            "UPDATE audit_base SET sequence = (SELECT max(sequence) FROM audit_checkpoints);"
            "UPDATE audit_base SET hash = (SELECT hash FROM audit_checkpoints ORDER BY sequence DESC LIMIT 1),"
            "note = (SELECT note FROM audit_checkpoints ORDER BY sequence DESC LIMIT 1);"
            "DELETE FROM audit_events WHERE sequence <= (SELECT sequence FROM audit_base);"
            "DELETE FROM audit_entries WHERE sequence <= (SELECT sequence FROM audit_base)",
            43,
        ),
        (
            "INSERT INTO audit_events SELECT 5, 'x', kind, time, principal, org, tool, action, object, outcome,"
            " canonical, hash, mac FROM audit_events WHERE sequence = 25",
            5,
        ),
        (
            "INSERT INTO audit_entries SELECT 5, 'x', NULL, time, principal, org, tool, action, object, outcome"
            " FROM audit_entries LIMIT 1",
            5,
        ),
    ],
)
async def test_a_base_that_was_forged_or_moved_is_the_first_bad_sequence(
    opener: Callable, store_place: StorePlace, statements: str, first_bad: int
) -> None:
    store = await opener()
    await fill(store, 10)
    assert await prune(store) == 20
    await fill(store, 10)
    await store.close()
    store_place.edit(statements)

    opened = await opener()
    found = await AuditLogReader(opened).verify()
    await opened.close()

    assert found.problem is not None
    assert found.first_bad == first_bad, found


async def test_a_signed_base_that_no_entry_names_is_found(opener: Callable) -> None:
    store = await opener()
    await fill(store, 10)
    await prune(store)
    async with store.database.reading() as connection:
        base = await read_base(connection, store.id)
    other = Base(base.sequence, base.hash, 3)
    note = store.audit.signer.sign(other.text(store.audit.signer.origin))
    await store.database.write(
        lambda tx: tx.connection.execute(tables.audit_base.update().values(intents=3, note=note))
    )
    found = await AuditLogReader(store).verify()
    await store.close()

    assert found.problem == "the chain names no base at entry 20"
    assert found.first_bad == 20


async def test_a_log_that_does_not_verify_is_not_pruned(opener: Callable, store_place: StorePlace) -> None:
    store = await opener()
    await fill(store, 10)
    await store.close()
    store_place.edit("UPDATE audit_events SET org = 'evil' WHERE sequence = 5")

    opened = await opener()
    with pytest.raises(AuditBroken, match="sequence 5"):
        await Retention(opened).check(quiet)
    await opened.close()

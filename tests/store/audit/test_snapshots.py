"""Kept values are sealed beside the chain, and can be erased, edited never."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from orgserver.app import App
from orgserver.model.audit import EntryFilter, Intent
from orgserver.model.errors import NotSent, OperatorError, StoreAway
from orgserver.model.names import CONTACT, new_id
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.audit.retention import Retention
from orgserver.services.undo.erasure import erase
from orgserver.store import tables
from orgserver.store.audit import chain, snapshots
from orgserver.store.audit.anchors import Anchors
from orgserver.store.audit.snapshots import Snapshot, SnapshotFilter
from orgserver.store.audit.verification import Verification
from tests import operations

pytestmark = pytest.mark.both_stores

CREATE, UPDATE = "salesforce_create_contact", "salesforce_update_contact"


@pytest.fixture
async def contact(app: App, caller: Caller, acme: SandboxOrg) -> str:
    """A contact in an org that keeps values, changed once."""
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    made = await operations.create(app, caller, CREATE, "acme", CONTACT, {"LastName": "Byron", "Phone": "1"})
    await operations.update(app, caller, UPDATE, "acme", CONTACT, made.id, {"lastname": "King"})
    return made.id


async def entry_of(app: App, action: str) -> str:
    return (await app.audit_log.newest(EntryFilter(action=action), 1))[0].id


async def values_of(app: App, entry_id: str) -> Snapshot | None:
    async with app.store.database.reading() as connection:
        return await snapshots.load(connection, app.store.orgs, entry_id)


async def verified(app: App) -> tuple[int | None, str | None]:
    log = app.store.audit
    state = Verification(
        app.store.id,
        log.mac,
        log.open_head,
        Anchors(log.signer.verifier),
        app.store.orgs.credentials.open_value,
    )
    await log.catch_up()
    await app.store.database.scan(state.run)
    return state.first_bad, state.problem


def erasing() -> Intent:
    return Intent(new_id(), "local:tester", "cli", "prune", tool="audit erase")


async def test_an_update_keeps_what_it_replaces_for_one_more_call(
    app: App, caller: Caller, acme: SandboxOrg, contact: str
) -> None:
    entry = await app.audit_log.entry(await entry_of(app, "update"))
    assert entry is not None
    found = await values_of(app, entry.id)

    assert found is not None
    assert (found.before, found.after) == ({"lastname": "Byron"}, {"lastname": "King"})
    assert [seen.method for seen in acme.requests] == ["POST", "GET", "PATCH"]
    assert entry.api_calls == 2
    assert (await verified(app)) == (None, None)


async def test_kept_values_stand_open_nowhere(app: App, contact: str, store_file: Path) -> None:
    home = store_file.parent

    stored = b"".join(file.read_bytes() for file in home.iterdir() if file.is_file())

    assert b"Byron" not in stored


async def test_an_org_that_keeps_nothing_reads_nothing_first(app: App, caller: Caller, acme: SandboxOrg) -> None:
    made = await operations.create(app, caller, CREATE, "acme", CONTACT, {"LastName": "Byron"})
    await operations.update(app, caller, UPDATE, "acme", CONTACT, made.id, {"LastName": "King"})

    assert [seen.method for seen in acme.requests] == ["POST", "PATCH"]
    assert await values_of(app, await entry_of(app, "update")) is None


async def test_a_preview_says_that_the_change_reads_first(app: App, caller: Caller, contact: str) -> None:
    told = await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, contact, preview=True)

    assert "one more API call" in told.warnings[0]


async def test_nothing_is_sent_when_its_values_cannot_be_kept(
    app: App, caller: Caller, acme: SandboxOrg, contact: str
) -> None:
    await app.store.database.write(lambda tx: tx.connection.exec_driver_sql("DROP TABLE kept_values"))
    acme.requests.clear()

    with pytest.raises(StoreAway) as refused:
        await operations.update(app, caller, UPDATE, "acme", CONTACT, contact, {"LastName": "Lovelace"})

    assert refused.value.outcome == "not_sent"
    assert [seen.method for seen in acme.requests] == ["GET"]


async def test_a_read_without_an_answer_is_no_change_that_may_have_happened(
    app: App, caller: Caller, acme: SandboxOrg, contact: str
) -> None:
    acme.fault("close", path=".*/sobjects/Contact/.*", method="GET", times=50)

    with pytest.raises(NotSent):
        await operations.update(app, caller, UPDATE, "acme", CONTACT, contact, {"LastName": "Lovelace"})

    assert acme.records.tables["Contact"][contact]["LastName"] == "King"


@pytest.mark.parametrize("which", ["record", "org", "age", "principal", "alias"])
async def test_erased_values_are_gone_and_the_chain_is_whole(
    app: App, caller: Caller, contact: str, which: str
) -> None:
    entry_id = await entry_of(app, "update")
    row_id = (await app.access.org(caller, "acme"))[0].row_id
    wanted = {
        "record": SnapshotFilter(record_id=contact),
        "org": SnapshotFilter(row_id=row_id),
        "age": SnapshotFilter(before=datetime.now(UTC) + timedelta(minutes=1)),
        "principal": SnapshotFilter(principal="Local:Tester"),
        "alias": SnapshotFilter(alias="acme"),
    }[which]
    await app.store.audit.catch_up()

    erased = await app.store.database.write(lambda tx: snapshots.erase_in(tx, app.store.audit, wanted, erasing()))

    assert erased == 2
    assert await values_of(app, entry_id) is None
    assert (await verified(app)) == (None, None)
    assert (await app.audit_log.newest(EntryFilter(action="prune"), 1))[0].row_count == 2


@pytest.mark.parametrize(
    "which", [SnapshotFilter(record_id="003Sb0000009999AAA"), SnapshotFilter(principal="x"), SnapshotFilter(row_id="x")]
)
async def test_what_was_not_meant_stays(app: App, contact: str, which: SnapshotFilter) -> None:
    async with app.store.database.reading() as connection:
        assert await snapshots.count(connection, which) == 0


async def test_an_edited_value_is_named(app: App, contact: str) -> None:
    table = tables.kept_values
    await app.store.database.write(lambda tx: tx.connection.execute(update(table).values(salt=b"0" * 16)))

    bad, problem = await verified(app)

    assert bad is not None
    assert problem == f"the values kept at entry {bad} were edited"


async def test_values_that_nobody_announced_are_named(app: App, contact: str) -> None:
    table = tables.kept_values
    await app.store.database.write(
        lambda tx: tx.connection.execute(update(table).values(entry_id=table.c.entry_id + "x"))
    )

    assert "the log does not say so" in str((await verified(app))[1])


async def test_values_open_after_every_org_got_a_new_data_key(app: App, caller: Caller, contact: str) -> None:
    entry_id = await entry_of(app, "update")
    before = await values_of(app, entry_id)

    await app.keys.rotate(caller, reseal=True)

    assert await values_of(app, entry_id) == before
    assert (await verified(app)) == (None, None)


async def test_the_event_has_nothing_but_the_digest(app: App, contact: str) -> None:
    events = tables.audit_events
    async with app.store.database.reading() as connection:
        rows = (await connection.execute(select(events.c.canonical).where(events.c.kind == chain.VALUES))).scalars()
        texts = [row.decode() for row in rows]

    assert len(texts) == 2
    assert not any("King" in text or "LastName" in text for text in texts)


async def test_what_a_hold_covers_is_not_erased(app: App, caller: Caller, contact: str) -> None:
    retention = Retention(app.store)
    await retention.hold(caller, "smith-v-acme", EntryFilter(record_id=contact))

    with pytest.raises(OperatorError, match="smith-v-acme"):
        await erase(app.store, caller, SnapshotFilter(record_id=contact), None)
    await retention.release(caller, "smith-v-acme")

    assert await erase(app.store, caller, SnapshotFilter(record_id=contact), None) == 2

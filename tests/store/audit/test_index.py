"""A running server brings what the log is searched by up to its end a little at a time, between its calls."""

import pytest
from sqlalchemy import func, select

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.store import tables
from orgserver.store.audit.index import SHORT_PAGE
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

pytestmark = pytest.mark.both_stores

ENTRIES = 2 * SHORT_PAGE  # with an outcome each, they fill four pages


async def fill(store: Store) -> None:
    def record(tx: Transaction) -> None:
        for _ in range(ENTRIES):
            intent = Intent(new_id(), "local:me", "stdio", Action.READ)
            store.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED))

    await store.database.write(record)


async def count_found(store: Store) -> int:
    async with store.database.reading() as connection:
        return (await connection.execute(select(func.count()).select_from(tables.audit_entries))).scalar_one()


async def test_what_a_server_takes_in_at_a_heartbeat_comes_in_short_transactions(store: Store) -> None:
    await fill(store)
    groups, _ = store.database.commits
    await store.audit.look_after()

    assert await count_found(store) == ENTRIES
    assert store.database.commits[0] - groups >= 2 * ENTRIES // SHORT_PAGE


async def test_what_there_was_no_time_for_is_taken_in_by_whoever_searches(store: Store) -> None:
    await fill(store)
    await store.audit.look_after(seconds=0.0)
    assert await count_found(store) == 0

    await store.audit.catch_up()
    assert await count_found(store) == ENTRIES

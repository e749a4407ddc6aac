"""Texts that not every store can hold, in what an event is searched by: they are replaced, and the log verifies."""

import pytest

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store.audit import reader
from orgserver.store.session import Store

QUOTED = '","record_ids":["]\\u0000}'
pytestmark = pytest.mark.both_stores


@pytest.mark.parametrize(
    ("said", "kept"),
    [("a\0b", "a\ufffdb"), ("half \ud83d", "half \ufffd"), ("ünï\U0001f600", "ünï\U0001f600"), (QUOTED, QUOTED)],
    ids=["NUL", "half a pair", "friendly", "what JSON is made of"],
)
async def test_what_an_agent_calls_things_is_kept_as_every_store_can(store: Store, said: str, kept: str) -> None:
    act = Intent(new_id(), "local:me", "stdio", Action.READ, org=said, object=said, label=said, record_ids=(said,))
    await store.audit.record(act, Completion(Outcome.DENIED, decision=said, record_ids=(said,)))
    await store.audit.catch_up()

    async with store.database.reading() as connection:
        found = await reader.read_newest(connection, EntryFilter(org=kept, record_id=kept, decision=said[:4]), 5)
    assert [(each.org, each.object, each.record_ids) for each in found] == [(kept, kept, (kept,))]
    assert [each.label for each in found] == [said], "what nobody searches by is kept letter by letter"
    assert (await AuditLogReader(store).verify()).problem is None

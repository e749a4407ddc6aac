"""The newest entries of a span of time are the same whichever way they are looked up, even when the clock was set back."""

import itertools

import pytest

from orgserver.model.audit import Action, Completion, EntryFilter, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store.audit import reader
from orgserver.store.session import Store
from orgserver.store.times import to_datetime

TIMES = [10, 20, 30, 40, 15, 25, 35, 50, 5, 60]
"""In the order of the log: the clock was set back twice."""


def bounds() -> list[int | None]:
    return [None, 0, 5, 15, 16, 35, 50, 61]


@pytest.mark.parametrize("few", [1, 3, 6, 20_000])
async def test_the_newest_of_a_span_are_found_whatever_the_clock_did(
    store: Store, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "FEW", few)
    for time in TIMES:
        monkeypatch.setattr(store.database._writer, "_clock", lambda now=time: now * 1_000_000)
        act = Intent(new_id(), "me", "stdio", Action.READ, object=str(time))
        await store.audit.record(act, Completion(Outcome.SUCCEEDED))
    audit_log = AuditLogReader(store)

    for since, until in itertools.product(bounds(), bounds()):
        wanted = EntryFilter(
            since=to_datetime(since * 1_000_000) if since is not None else None,
            until=to_datetime(until * 1_000_000) if until is not None else None,
        )
        expected = [time for time in reversed(TIMES) if (since or 0) <= time < (100 if until is None else until)]

        assert [int(entry.object or 0) for entry in await audit_log.newest(wanted, 50)] == expected
        assert [int(entry.object or 0) for entry in await audit_log.newest(wanted, 2)] == expected[:2]

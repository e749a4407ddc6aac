"""Refusals of a flood: an entry each, few commits, and nobody is answered before its own is durable."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from orgserver.model.audit import Action, AuditEntry, Completion, EntryFilter, Intent, Outcome
from orgserver.model.errors import StoreAway, StoreError
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.calls.denials import GROUP, DenialGroups
from orgserver.store.session import Store

PAUSE = 0.05
DENIED = Completion(Outcome.DENIED, error_code="RATE_LIMITED", decision="rate")


class CountingWrites:
    """The store's database, which counts what is written and may be told to fail."""

    def __init__(self, store: Store) -> None:
        self._write = store.database.write
        self.times: list[float] = []
        self.failure: StoreError | None = None

    async def write(self, change: Callable[..., None]) -> None:
        self.times.append(asyncio.get_running_loop().time())
        if self.failure is not None:
            raise self.failure
        await self._write(change)


@pytest.fixture
def writes(store: Store) -> CountingWrites:
    return CountingWrites(store)


@pytest.fixture
def denials(store: Store, writes: CountingWrites) -> DenialGroups:
    return DenialGroups(writes, store.audit, PAUSE)  # type: ignore[arg-type]  # it is only written to


def refused(name: str = "flood") -> Intent:
    return Intent(id=new_id(), principal=name, transport="http", action=Action.READ)


async def entries_of(store: Store) -> list[AuditEntry]:
    return [entry async for entry in AuditLogReader(store).entries(EntryFilter())]


async def test_each_refusal_of_a_flood_is_an_entry_and_few_commits_have_them_all(
    store: Store, denials: DenialGroups, writes: CountingWrites
) -> None:
    intents = [refused() for _ in range(1 + 5 * GROUP)]
    first = asyncio.create_task(denials.record(intents[0], DENIED))
    await asyncio.sleep(0)
    await asyncio.gather(first, *(denials.record(each, DENIED) for each in intents[1:]))

    entries = await entries_of(store)
    assert {entry.id for entry in entries} == {intent.id for intent in intents}
    assert {(entry.outcome, entry.error_code, entry.decision) for entry in entries} == {
        (Outcome.DENIED, "RATE_LIMITED", "rate")
    }
    assert len(writes.times) <= 6


async def test_the_first_refusal_is_written_at_once_and_those_after_it_in_the_next_round(
    denials: DenialGroups, writes: CountingWrites
) -> None:
    began = asyncio.get_running_loop().time()
    await denials.record(refused(), DENIED)
    assert writes.times[0] - began < PAUSE

    for _ in range(3):
        await denials.record(refused(), DENIED)

    pauses = [after - before for before, after in pairwise(writes.times)]
    assert len(pauses) == 3
    assert min(pauses) >= PAUSE * 0.99


async def test_a_refusal_is_durable_before_its_answer(store: Store, denials: DenialGroups) -> None:
    intent = refused()
    await denials.record(intent, DENIED)

    assert [entry.id for entry in await entries_of(store)] == [intent.id]


async def test_who_goes_away_while_waiting_is_on_record_all_the_same(store: Store, denials: DenialGroups) -> None:
    await denials.record(refused(), DENIED)
    gone, stays = refused("gone"), refused("stays")
    leaving = asyncio.create_task(denials.record(gone, DENIED))
    staying = asyncio.create_task(denials.record(stays, DENIED))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying

    assert {"gone", "stays"} <= {entry.principal for entry in await entries_of(store)}


async def test_where_the_store_is_away_each_is_told_so_and_the_next_is_tried_again(
    store: Store, denials: DenialGroups, writes: CountingWrites
) -> None:
    writes.failure = StoreError("the disk is full")
    answers = await asyncio.gather(*(denials.record(refused(), DENIED) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreAway] * 3

    writes.failure = None
    await denials.record(refused("later"), DENIED)

    assert [entry.principal for entry in await entries_of(store)] == ["later"]


async def test_those_of_one_round_are_answered_one_after_another(denials: DenialGroups) -> None:
    await denials.record(refused(), DENIED)
    answered = list[float]()

    async def record() -> None:
        await denials.record(refused(), DENIED)
        answered.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(record() for _ in range(GROUP)))

    assert answered[-1] - answered[0] >= PAUSE * 0.9
    assert sum(after - before > PAUSE / GROUP / 4 for before, after in pairwise(answered)) >= 8

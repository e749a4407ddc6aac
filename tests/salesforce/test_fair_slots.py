"""Slots for requests: in turn among callers, in order within one, none lost by whoever goes away."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgserver.model.errors import RateLimited
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.fair_slots import FairSlots


class Requests:
    """Requests that have a slot until they are told to end."""

    def __init__(self, slots: int) -> None:
        self.slots = FairSlots(slots)
        self.begun: list[str] = []
        self.under_way: dict[str, list[asyncio.Event]] = {}

    async def stop(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def begin(self, caller: str, count: int = 1) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._run(caller)) for _ in range(count)]
        await settle()
        return tasks

    async def end(self, caller: str) -> None:
        self.under_way[caller].pop(0).set()
        await settle()

    async def _run(self, caller: str) -> None:
        async with self.slots.slot(caller):
            self.begun.append(caller)
            over = asyncio.Event()
            self.under_way.setdefault(caller, []).append(over)
            await over.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("slots", [1, 10])
async def test_a_single_call_beside_a_flood_gets_the_slot_that_is_free_next(slots: int) -> None:
    requests = Requests(slots)
    await requests.begin("flood", 500)
    await requests.begin("single")
    assert "single" not in requests.begun

    await requests.end("flood")

    assert requests.begun == ["flood"] * slots + ["single"]


async def test_callers_with_many_requests_take_turns_each_in_its_own_order() -> None:
    requests = Requests(1)
    await requests.begin("a", 4)
    await requests.begin("b", 3)
    await requests.begin("c", 1)

    for _ in range(7):
        await requests.end(requests.begun[-1])

    assert requests.begun == ["a", "b", "c", "a", "b", "a", "b", "a"]


async def test_who_comes_again_and_again_does_not_keep_a_flood_from_its_turn() -> None:
    requests = Requests(1)
    await requests.begin("flood", 50)
    callers = ["x", "y", "z"]
    for caller in callers:
        await requests.begin(caller)

    for _ in range(40):
        last = requests.begun[-1]
        await requests.end(last)
        if last in callers:
            await requests.begin(last)

    assert Counter(requests.begun[1:]) == {"flood": 10, "x": 10, "y": 10, "z": 10}


async def test_nobody_saves_up_turns_while_away() -> None:
    requests = Requests(1)
    await requests.begin("a", 30)
    for _ in range(20):
        await requests.end("a")
    await requests.begin("late", 10)

    for _ in range(6):
        await requests.end(requests.begun[-1])

    assert requests.begun[-6:] == ["late", "a", "late", "a", "late", "a"]


async def test_who_goes_away_while_it_waits_leaves_nothing_behind() -> None:
    requests = Requests(1)
    await requests.begin("a")
    waiting = [*await requests.begin("gone", 200), *await requests.begin("b")]
    await requests.stop(*waiting[:200])

    assert requests.slots.waiting == 1
    await requests.end("a")
    assert requests.begun == ["a", "b"]


async def test_a_slot_that_comes_in_the_moment_of_going_away_goes_to_the_next() -> None:
    requests = Requests(1)
    await requests.begin("a")
    (first,) = await requests.begin("b")
    await requests.begin("c")

    requests.under_way["a"].pop().set()
    await asyncio.sleep(0)  # the slot is handed to b, which has not run yet
    assert requests.slots.waiting == 1
    first.cancel()
    await settle()

    assert requests.begun == ["a", "c"]


STEPS = st.lists(st.tuples(st.sampled_from(["begin", "end", "cancel"]), st.integers(0, 4)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(slots=st.integers(1, 4), steps=STEPS)
def test_slots_are_never_lost_idle_or_too_many(slots: int, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        requests, tasks = Requests(slots), list[asyncio.Task[None]]()
        for step, number in steps:
            running = [events for events in requests.under_way.values() if events]
            if step == "begin":
                tasks += await requests.begin(str(number))
            elif step == "end" and running:
                running[number % len(running)].pop(0).set()
            elif step == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            await settle()
            live = [task for task in tasks if not task.done()]
            assert requests.slots.waiting == max(len(live) - slots, 0)
        await requests.stop(*tasks)
        await requests.begin("last", slots)
        assert requests.begun[-slots:] == ["last"] * slots

    asyncio.run(run())


async def test_a_flood_that_takes_every_place_leaves_each_other_caller_one() -> None:
    client = SalesforceClient(concurrency=1, queue=2)
    leave = [client.admit("row", "flood") for _ in range(3)]

    for caller in ("flood", "b", "b", "c", "d"):
        try:
            leave.append(client.admit("row", caller))
        except RateLimited:
            leave.append(lambda: None)
    assert client._pool.get("row").calls == {"flood": 3, "b": 1, "c": 1}

    for each in leave:
        each()
    assert not client._pool.get("row").calls
    await client.aclose()

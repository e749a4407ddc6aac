"""A time limit does what asyncio's does, to the task, to whoever cancels it and to what follows; many share a timer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
import uvloop

from orgserver.time_limits import TimeLimit, TimeLimits

SOON, LATER = 0.02, 5.0


class Limit(Protocol):
    """What both have."""

    def reschedule(self, deadline: float | None) -> None: ...


Until = Callable[[float], Any]


@asynccontextmanager
async def ours(deadline: float, limits: TimeLimits | None = None) -> AsyncIterator[TimeLimit]:
    with (limits or TimeLimits()).until(deadline) as limit:
        yield limit


def now() -> float:
    return asyncio.get_running_loop().time()


async def runs_out(until: Until) -> str:
    async with until(now() + SOON):
        await asyncio.sleep(LATER)
    return "went on"


async def is_over_already(until: Until) -> str:
    async with until(0.0):
        await asyncio.sleep(LATER)
    return "went on"


async def ends_in_time(until: Until) -> str:
    async with until(now() + SOON):
        pass
    await asyncio.sleep(2 * SOON)
    return "went on"


async def is_moved_on(until: Until) -> str:
    async with until(now() + SOON) as limit:
        limit.reschedule(now() + LATER)
        await asyncio.sleep(2 * SOON)
    return "went on"


async def is_taken_away(until: Until) -> str:
    async with until(now() + SOON) as limit:
        limit.reschedule(None)
        await asyncio.sleep(2 * SOON)
    return "went on"


async def is_moved_forward(until: Until) -> str:
    async with until(now() + LATER) as limit:
        limit.reschedule(now() + SOON)
        await asyncio.sleep(LATER)
    return "went on"


async def fails_by_itself(until: Until) -> str:
    async with until(now() + SOON):
        raise KeyError("its own")


async def holds_its_cancellation_back(until: Until) -> str:
    async with until(now() + SOON):
        try:
            await asyncio.sleep(LATER)
        except asyncio.CancelledError:
            return f"went on, cancelled {task().cancelling()} times"
    raise AssertionError("no limit")


async def lies_in_one_of_the_same_deadline(until: Until) -> str:
    deadline = now() + SOON
    try:
        async with until(deadline):
            try:
                async with until(deadline):
                    await asyncio.sleep(LATER)
            except TimeoutError:
                return "the inner one"
    except TimeoutError:
        return f"the outer one, cancelled {task().cancelling()} times"
    return "went on"


async def lies_in_a_longer_one(until: Until) -> str:
    async with until(now() + LATER):
        try:
            async with until(now() + SOON):
                await asyncio.sleep(LATER)
        except TimeoutError:
            await asyncio.sleep(0)
            return f"the inner one, cancelled {task().cancelling()} times"
    return "went on"


async def is_cancelled_by_another(until: Until) -> str:
    own = task()
    asyncio.get_running_loop().call_later(SOON / 2, own.cancel)
    async with until(now() + LATER):
        await asyncio.sleep(LATER)
    return "went on"


async def is_cancelled_by_another_at_once(until: Until) -> str:
    own = task()
    async with until(now() + LATER) as limit:
        limit.reschedule(now())
        asyncio.get_running_loop().call_later(SOON, own.cancel)
        try:
            await asyncio.sleep(LATER)
        finally:
            own.cancel()
    return "went on"


def task() -> asyncio.Task[Any]:
    own = asyncio.current_task()
    assert own is not None
    return own


async def become(scenario: Callable[[Until], Awaitable[str]], until: Until) -> str:
    async def run() -> str:
        return await scenario(until)

    running = asyncio.create_task(run())
    await asyncio.wait([running])
    if running.cancelled():
        return "cancelled"
    error = running.exception()
    return running.result() if error is None else repr(error)


SCENARIOS = (
    runs_out,
    is_over_already,
    ends_in_time,
    is_moved_on,
    is_taken_away,
    is_moved_forward,
    fails_by_itself,
    holds_its_cancellation_back,
    lies_in_one_of_the_same_deadline,
    lies_in_a_longer_one,
    is_cancelled_by_another,
    is_cancelled_by_another_at_once,
)


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_task_with_a_limit_becomes_what_it_becomes_with_asyncios(
    scenario: Callable[[Until], Awaitable[str]], make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        expected = runner.run(become(scenario, asyncio.timeout_at))
        limits = TimeLimits()
        assert runner.run(become(scenario, ours)) == expected
        assert runner.run(become(scenario, lambda deadline: ours(deadline, limits))) == expected


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_each_of_many_ends_at_its_own_deadline(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    limits = TimeLimits()

    async def wait(seconds: float) -> float:
        deadline = now() + seconds
        with pytest.raises(TimeoutError):
            async with ours(deadline, limits):
                await asyncio.sleep(LATER)
        return now() - deadline

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*(wait(each / 200) for each in (7, 3, 9, 1, 5, 5, 2, 0, 8, 4)))

    with asyncio.Runner(loop_factory=make_loop) as runner:
        late = runner.run(all_of_them())
    assert min(late) > -0.002
    assert max(late) < 2.0


def test_one_timer_serves_many_and_the_next_event_loop_has_its_own() -> None:
    limits = TimeLimits()
    timers = []

    async def begin(count: int) -> None:
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def count_and_call(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
            timers.append(arguments)
            return call_at(*arguments, **options)

        loop.call_at = count_and_call  # type: ignore[method-assign,assignment]  # counted
        for _ in range(count):
            with limits.until(loop.time() + LATER):
                pass

    asyncio.run(begin(100))
    assert len(timers) == 1
    asyncio.run(begin(100))
    assert len(timers) == 2
    assert asyncio.run(become(runs_out, lambda deadline: ours(deadline, limits))) == "TimeoutError()"


async def test_a_limit_that_is_over_is_not_moved() -> None:
    limits = TimeLimits()
    with limits.until(now() + LATER) as limit:
        assert limit in limits
    limit.reschedule(now())
    await asyncio.sleep(SOON)
    assert limit not in limits
    assert not limit.is_expired


def test_there_is_none_without_a_task() -> None:
    async def enter() -> None:
        def outside() -> None:
            try:
                with TimeLimits().until(0.0):
                    raise AssertionError("it was entered")
            except RuntimeError as error:
                done.set_result(str(error))

        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(outside)
        assert await done == "a time limit is one of a task"

    asyncio.run(enter())

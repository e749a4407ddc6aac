"""Replicas are killed under load, one after the other: what was answered, what was sent and what is on record agree."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

from tests.faults.servers import Killed, judge
from tests.replicas.load import CALLERS, has_answers, load
from tests.replicas.world import CALL_SECONDS, Replicas, replicas

HELD_SECONDS = 3.0
"""At first; twice as long each time that not all of them came in it, as on a busy machine."""
ABANDONED_SECONDS = 5
"""Who merely waits for a processor this long is not taken for dead."""


async def lose_replicas(kills: int, *, seed: int, database_url: str) -> Killed:
    """Kill so many, each replaced by a new one, and judge."""
    chance, killed = random.Random(seed), Killed(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with replicas(Path(folder), database_url, forks=True, abandoned_seconds=ABANDONED_SECONDS) as world:
            key = await world.add_person("load", "acme:read,write")
            async with load(world, key) as done:
                killed.answered, killed.refused = done.answered, done.refused
                while killed.kills < kills:
                    await has_answers(done, chance.randrange(20, 60))
                    await _wait_until_all_are_at_salesforce(world)
                    await world.kill(chance.choice([url for url in world.urls if world.proxy.under_way[url]]))
                    await killed.note_kill()
                    await has_answers(done, 20)  # by those that are left
                    await world.start()
            killed.lost = len(done.lost)
            killed.wrong += [f"{name} was not answered in {CALL_SECONDS:.0f} s" for name in done.late]
            await judge(killed, world.app, world.acme)
    return killed


async def _wait_until_all_are_at_salesforce(world: Replicas) -> None:
    """Wait until each caller's call has reached Salesforce, and none of their answers has left it."""
    held = HELD_SECONDS
    async with asyncio.timeout(300):
        while not await _is_each_held(world, held):
            held *= 2  # some were answered before the last had come: once more


async def _is_each_held(world: Replicas, seconds: float) -> bool:
    """Hold up an answer for each caller; whether the first is still held when the last call has come."""
    began = time.monotonic()
    slow = world.acme.fault("delay", path=".*/sobjects/Contact", seconds=seconds, times=CALLERS, work=True)
    while slow.times > 0:
        await asyncio.sleep(0.01)
    return time.monotonic() - began < seconds

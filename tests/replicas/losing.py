"""Replicas are killed under load, one after the other: what was answered, what was sent and what is on record agree."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

from tests.faults.servers import Killed, judge
from tests.replicas.load import CALLERS, has_answers, load
from tests.replicas.world import Replicas, replicas


async def lose_replicas(kills: int, *, seed: int, database_url: str) -> Killed:
    """Kill so many, each replaced by a new one, and judge."""
    chance, killed = random.Random(seed), Killed(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with replicas(Path(folder), database_url) as world:
            key = await world.add_person("load", "acme:read,write")
            async with load(world, key) as done:
                while killed.kills < kills:
                    await has_answers(done, chance.randrange(20, 60))
                    await _wait_until_all_are_at_salesforce(world)
                    await world.kill(chance.choice([url for url in world.urls if world.proxy.under_way[url]]))
                    killed.kills += 1
                    await has_answers(done, 20)  # by those that are left
                    await world.start()
            killed.answered, killed.refused = done.answered, done.refused
            killed.lost = len(done.lost)
            await judge(killed, world.app, world.acme)
    return killed


async def _wait_until_all_are_at_salesforce(world: Replicas) -> None:
    """Wait until each caller's record is made, and its answer held up."""
    slow = world.acme.fault("delay", path=".*/sobjects/Contact", seconds=3, times=CALLERS, work=True)
    async with asyncio.timeout(120):
        while slow.times > 0:
            await asyncio.sleep(0.01)

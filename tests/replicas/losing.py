"""Replicas are killed under load, one after the other: what was answered, what was sent and what is on record agree."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from tests.faults.servers import Killed, judge
from tests.replicas.load import has_answers, load
from tests.replicas.world import replicas


async def lose_replicas(kills: int, *, seed: int, database_url: str) -> Killed:
    """Kill so many, each replaced by a new one, and judge."""
    chance, killed = random.Random(seed), Killed(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with replicas(Path(folder), database_url) as world:
            key = await world.add_person("load", "acme:read,write")
            async with load(world, key) as done:
                while killed.kills < kills:
                    await has_answers(done, chance.randrange(20, 60))
                    await world.kill(chance.choice(world.urls))
                    killed.kills += 1
                    await has_answers(done, 20)  # by those that are left
                    await world.start()
            killed.answered, killed.refused = done.answered, done.refused
            killed.lost = len(done.lost)
            await judge(killed, world.app, world.acme)
    return killed

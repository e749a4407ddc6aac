"""The server of a store is struck under load: one of its sessions, all of them, or it whole; or one of those it serves.

Four replicas create records, as in ``servers``. In the end every answered call has its outcome, every change its
intent, and the chain is one.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from .driving import Served
from .servers import Killed, kill_one, under_load
from .store_places import StorePlace

STRIKES = ("replica", "session", "sessions", "restart", "kill")
PAUSE_SECONDS = (0.2, 0.8)
AWAY_SECONDS = (0.0, 0.6)
_ONE_SESSION = """
    SELECT pg_terminate_backend(pid) FROM
        (SELECT pid FROM pg_stat_activity WHERE datname = '{}' ORDER BY random() LIMIT 1) AS one
"""


@dataclass
class Struck(Killed):
    """What the strikes did."""

    strikes: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"{dict(self.strikes)}: {super().__str__()}"


async def server_kills(strikes: int, *, seed: int, place: StorePlace, kinds: tuple[str, ...] = STRIKES) -> Killed:
    """Strike so often, each kind in its turn, and judge."""
    chance = random.Random(seed)

    async def strike(done: Killed, running: dict[int, Served]) -> None:
        assert isinstance(done, Struck)
        while done.kills < strikes:
            await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))  # the fault itself: its moments are what is random
            kind = kinds[done.kills % len(kinds)]
            await _strike(kind, place, running, chance)
            done.strikes[kind] += 1
            await done.note_kill()

    return await under_load(Struck(seed), strike, place)


async def _strike(kind: str, place: StorePlace, running: dict[int, Served], chance: random.Random) -> None:
    server, database = place.server, (place.url or "").rpartition("/")[2]
    assert server is not None
    if kind == "replica":
        await kill_one(running, chance)
    elif kind == "session":
        await asyncio.to_thread(server.ask, "postgres", _ONE_SESSION.format(database))
    elif kind == "sessions":
        await asyncio.to_thread(server.terminate_backends, database)
    elif kind == "restart":
        await asyncio.to_thread(server.restart)
    else:
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(chance.uniform(*AWAY_SECONDS))
        await asyncio.to_thread(server.start)

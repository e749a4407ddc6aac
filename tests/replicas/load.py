"""Callers who create records through the proxy until they are told to stop, and what they were answered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2

from tests.replicas.world import Replicas, result_of

CALLERS = 8
TOOL = "salesforce_create_contact"


@dataclass
class Load:
    """What came of it."""

    answered: dict[str, str] = field(default_factory=dict)
    """Record ids by the name that was sent."""
    refused: Counter[str] = field(default_factory=Counter)
    """Codes of errors that tools answered."""
    lost: list[str] = field(default_factory=list)
    """Names for which the proxy had no answer."""
    late: list[str] = field(default_factory=list)
    """Names for which nothing came in time, not even from the proxy."""

    def note(self, name: str, response: httpx2.Response) -> None:
        if response.status_code == 502:  # the proxy's own
            self.lost.append(name)
            return
        if response.status_code != 200:
            self.refused[f"{response.status_code} {response.text[:200]}"] += 1
            return
        result = result_of(response)
        if result.get("isError"):
            self.refused[json.loads(result["content"][0]["text"])["error"]["code"]] += 1
        else:
            self.answered[name] = result["structuredContent"]["id"]


@asynccontextmanager
async def load(world: Replicas, key: str, callers: int = CALLERS) -> AsyncIterator[Load]:
    """Keep so many callers busy while the block runs; after it, all of them have their answers."""
    done, stop = Load(), asyncio.Event()

    async def call_on(caller: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            name = f"K{caller}-{number}"
            try:
                done.note(name, await world.post(key, TOOL, org="acme", data={"LastName": name}))
            except httpx2.TimeoutException:
                done.late.append(name)

    tasks = [asyncio.create_task(call_on(caller)) for caller in range(callers)]
    try:
        yield done
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def has_answers(done: Load, more: int) -> None:
    """Wait until so many more calls are answered."""
    enough = len(done.answered) + more
    async with asyncio.timeout(120):
        while len(done.answered) < enough:
            await asyncio.sleep(0.01)

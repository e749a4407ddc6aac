"""A server is stopped under load, as Ctrl-Z does, again and again: whoever shares its store is answered all the same.

Two servers create records in one org. One is stopped at random moments, in some of them while it holds the store's
lock, until the other has been answered a few times; then it goes on. Every call of the other is answered within 2 s
(12 s where the store lies on a database's server, which ends the session of who is stopped after 5 s), by going on or
by an error that names the stopped process; afterwards what was answered, what was sent and what is on
record agree, as in ``servers``.
"""

import asyncio
import json
import random
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.sandbox.server import Sandbox

from .driving import CALL_SECONDS, Served, serving
from .servers import LIMITS, Killed, judge
from .store_places import IN_FILE, StorePlace

CALLERS = 6
BOUND_SECONDS = 2.0
SESSION_SECONDS = 8.0
"""Nobody can tell that who holds a database's lock is stopped: two stops, of 4 s at most, may follow at once."""
ANSWERS = 8
"""How many the other server gives before the stopped one goes on."""
LONGEST_SECONDS = 4.0
PAUSE_SECONDS = (0.02, 0.3)


@dataclass
class Stopped(Killed):
    """What the stops did."""

    stops: int = 0
    beside_a_held_lock: int = 0
    """Stops that fell while the stopped process held the lock."""
    slowest: float = 0.0
    """The slowest call of the other server, in seconds."""
    bound: float = BOUND_SECONDS
    """What it may be."""
    given: int = 0
    """Answers of the other server, of any kind."""
    busy: int = 0
    """Those of them that named the stopped process."""

    @property
    def holds(self) -> bool:
        return not self.wrong and self.slowest <= self.bound and len(self.answered) > self.stops

    def __str__(self) -> str:
        return (
            f"{self.stops} stops, {self.beside_a_held_lock} while the lock was held; the other server: {self.given} calls, "
            f"the slowest {self.slowest:.2f} s, {self.busy} named the stopped process; {len(self.answered)} answered in all, "
            f"{self.changes} changes at Salesforce, {self.intents} intents, refused {dict(self.refused) or 'none'}, "
            f"{len(self.wrong)} wrong {self.wrong[:8] or ''}"
        )


async def stopped(stops: int, *, seed: int, place: StorePlace = IN_FILE) -> Stopped:
    """Stop one of two servers so many times, and judge."""
    bound = BOUND_SECONDS + (SESSION_SECONDS if place.server else 0)
    done, chance = Stopped(seed, bound=bound), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with Sandbox.start(1) as sandbox:
            async with open_app(read_settings(place.settings(home), {})) as app:
                await register(app, sandbox)
            limits = LIMITS | place.environment
            async with serving(home, **limits) as steady, serving(home, **limits) as sibling:
                end = asyncio.Event()
                load = [
                    asyncio.create_task(_call_on(done, steady, f"S{n}", sibling.process.pid, end))
                    for n in range(CALLERS)
                ]
                load += [asyncio.create_task(_call_on(done, sibling, f"Z{n}", None, end)) for n in range(CALLERS)]
                for _ in range(stops):
                    await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))  # the fault itself: its moments are random
                    await _stop(done, sibling)
                end.set()
                await asyncio.gather(*load)
            settings = place.settings(home, abandoned_seconds=1, heartbeat_seconds=0.2)
            async with open_app(read_settings(settings, {})) as app:
                await judge(done, app, sandbox.orgs[0])
    return done


async def _stop(done: Stopped, sibling: Served) -> None:
    """Stop it, until the other one has given some answers."""
    given, busy = done.given, done.busy
    sibling.process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + LONGEST_SECONDS
    while done.given < given + ANSWERS and time.monotonic() < until:
        await asyncio.sleep(0.01)
    sibling.process.send_signal(signal.SIGCONT)
    done.stops += 1
    done.beside_a_held_lock += done.busy > busy


async def _call_on(done: Stopped, served: Served, name: str, other: int | None, end: asyncio.Event) -> None:
    """Create one record after the other; ``other`` is the process that is stopped meanwhile, None in that one itself."""
    number = 0
    while not end.is_set():
        number += 1
        began = time.monotonic()
        result = await _create(served, f"K{name}-{number}")
        if other is not None:
            done.slowest = max(done.slowest, time.monotonic() - began)
            done.given += 1
        if not result.get("isError"):
            done.answered[f"K{name}-{number}"] = result["structuredContent"]["id"]
            continue
        error = json.loads(result["content"][0]["text"])["error"]
        done.refused[error["code"]] += 1
        if f"process {other} " in error["message"]:
            done.busy += 1
        if error["code"] not in ("STORE_BUSY", "OUTCOME_NOT_RECORDED"):
            done.wrong.append(f"{name}-{number}: {error}")


async def _create(served: Served, name: str) -> dict[str, Any]:
    call = {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": name}}}
    reply = await asyncio.wait_for(served.send("tools/call", call), CALL_SECONDS)
    return dict(reply["result"])

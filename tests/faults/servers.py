"""Servers on one store are killed under load: what was answered, what was sent and what is on record still agree.

Four servers create records; one of them is killed every 0.2 to 0.6 s, and started again. In the end the sandbox's own
records are held against the audit log: every answered call has its outcome, every change has its intent, and every
intent has one outcome.
"""

import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.audit import AuditEntry, EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox

from .driving import CALL_SECONDS, Served, serving_forked
from .program import ERRORS
from .store_places import IN_FILE, StorePlace

SERVERS, IN_FLIGHT = 4, 4
PAUSE_SECONDS = (0.2, 0.6)
PENDING_SECONDS = 120.0
RECOVERY_SECONDS = 120.0
TOLD_KILLS = 50
LIMITS = {
    "ORGSERVER_ABANDONED_SECONDS": "1",
    "ORGSERVER_HEARTBEAT_SECONDS": "0.2",
    "ORGSERVER_LOG_LEVEL": "error",
}


@dataclass
class Killed:
    """What the kills did."""

    seed: int
    kills: int = 0
    answered: dict[str, str] = field(default_factory=dict)
    """Record ids by the name that was sent."""
    refused: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    intents: int = 0
    unknown: int = 0
    lost: int = 0
    """Calls that a proxy had no answer for."""
    settled_after: float = 0.0
    wrong: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def holds(self) -> bool:
        return not self.wrong and len(self.answered) > self.kills

    async def note_kill(self) -> None:
        """Count one, and wait until more calls are answered than there were kills; tell now and then that it goes on."""
        self.kills += 1
        try:
            async with asyncio.timeout(RECOVERY_SECONDS):
                while len(self.answered) <= self.kills:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self.wrong.append(f"nothing was answered for {RECOVERY_SECONDS:.0f} s after kill {self.kills}")
        if self.kills % TOLD_KILLS == 0:
            seconds = time.monotonic() - self.began
            print(f"so far {self.kills} kills, {len(self.answered)} answered calls in {seconds:.0f} s", flush=True)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {len(self.answered)} answered calls, {self.changes} changes at Salesforce, "
            f"{self.intents} intents, {self.unknown} unknown, {self.lost} without an answer, the last settled after {self.settled_after:.1f} s, "
            f"{sum(self.refused.values())} refused {dict(self.refused) or ''}, {len(self.wrong)} wrong {self.wrong[:8] or ''}"
        )


async def servers(kills: int, *, seed: int, place: StorePlace = IN_FILE) -> Killed:
    """Kill so many servers, and judge."""
    chance = random.Random(seed)

    async def kill(done: Killed, running: dict[int, Served]) -> None:
        while done.kills < kills:
            await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))  # the fault itself: its moments are what is random
            await kill_one(running, chance)
            await done.note_kill()

    return await under_load(Killed(seed), kill, place)


async def under_load(
    done: Killed, strike: Callable[[Killed, dict[int, Served]], Awaitable[None]], place: StorePlace
) -> Killed:
    """Keep servers busy while faults strike; then judge."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with Sandbox.start(1) as sandbox:
            acme = sandbox.orgs[0]
            async with open_app(read_settings(place.settings(home), {})) as app:
                await register(app, sandbox)
            running: dict[int, Served] = {}
            stop = asyncio.Event()
            places = [
                asyncio.create_task(_place(done, home, number, running, stop, place)) for number in range(SERVERS)
            ]
            try:
                await strike(done, running)
            finally:
                stop.set()
                await asyncio.gather(*places)
            settings = place.settings(home, abandoned_seconds=1, heartbeat_seconds=0.2)
            async with open_app(read_settings(settings, {})) as app:
                await judge(done, app, acme)
            if "INTERNAL" in done.refused:
                done.wrong.append(f"a server did not know what happened: {_read_unknown(home.with_name('errors'))}")
    return done


def _read_unknown(file: Path) -> str:
    """What servers said of the first exception that they do not know."""
    said = file.read_text("utf-8", "replace") if file.exists() else ""
    return said.partition("not foreseen")[2][:4_000]


async def kill_one(running: dict[int, Served], chance: random.Random) -> None:
    """Kill one of those that run, as soon as one does."""
    async with asyncio.timeout(60):
        while not running:  # all of them are still starting
            await asyncio.sleep(0.01)
    await running.pop(chance.choice(sorted(running))).kill()


async def _place(
    done: Killed, home: Path, number: int, running: dict[int, Served], stop: asyncio.Event, place: StorePlace
) -> None:
    """Keep one server running and busy."""
    life = 0
    while not stop.is_set():
        life += 1
        with suppress(ConnectionError):
            errors = {ERRORS: str(home.with_name("errors"))}
            async with serving_forked(home, **LIMITS, **errors, **place.environment) as served:
                names = (f"K{number}-{life}-{call}" for call in range(1 << 30))
                await _call(done, served, next(names))
                running[number] = served
                await asyncio.gather(*(_call_on(done, served, names, stop) for _ in range(IN_FLIGHT)))
        running.pop(number, None)


async def _call_on(done: Killed, served: Served, names: Iterator[str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        await _call(done, served, next(names))


async def _call(done: Killed, served: Served, name: str) -> None:
    """Create one record; ConnectionError when the server is gone before it answered."""
    call = {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": name}}}
    reply = served.send("tools/call", call)
    gone = asyncio.ensure_future(served.gone())
    both: tuple[asyncio.Future[Any], ...] = (reply, gone)
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED, timeout=CALL_SECONDS)
    gone.cancel()
    if not reply.done():
        reply.cancel()
        raise ConnectionError("the server is gone")
    result = reply.result()["result"]
    if result.get("isError"):
        done.refused[json.loads(result["content"][0]["text"])["error"]["code"]] += 1
    else:
        done.answered[name] = result["structuredContent"]["id"]


async def judge(done: Killed, app: App, acme: SandboxOrg) -> None:
    """Hold what is on record against what was answered, and against what the sandbox has."""
    began = time.monotonic()
    while [entry async for entry in app.audit_log.entries(EntryFilter(outcome="pending"))]:
        if time.monotonic() - began > PENDING_SECONDS:
            done.wrong.append("intents without an outcome")
            break
        await asyncio.sleep(0.05)  # until the sweep of another process has found them
    done.settled_after = time.monotonic() - began
    entries: list[AuditEntry] = [entry async for entry in app.audit_log.entries(EntryFilter(action="create"))]
    verified = await app.audit_log.verify()
    if verified.problem is not None:
        done.wrong.append(f"the chain: {verified.problem}")
    changed = {record["LastName"]: id_ for id_, record in acme.records.tables["Contact"].items()}
    changed = {name: id_ for name, id_ in changed.items() if name.startswith("K")}
    outcomes: dict[str, list[Outcome]] = {}
    for entry in entries:
        for id_ in entry.record_ids:
            outcomes.setdefault(id_, []).append(entry.outcome)
    done.changes, done.intents = len(changed), len(entries)
    done.unknown = sum(entry.outcome is Outcome.UNKNOWN for entry in entries)
    for name, id_ in done.answered.items():
        if changed.get(name) != id_ or outcomes.get(id_) != [Outcome.SUCCEEDED]:
            done.wrong.append(f"{name} was answered: {id_}, and on record is {outcomes.get(id_)}")
    unexplained = [name for name, id_ in changed.items() if id_ not in outcomes]
    if len(unexplained) > done.unknown:
        done.wrong.append(f"{len(unexplained)} changes whose outcome nobody knows, {done.unknown} intents that say so")
    if acme.counters.reuses or acme.counters.foreign_tokens:
        done.wrong.append("a token was used twice")

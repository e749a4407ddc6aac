"""Servers at work for long while much goes wrong: what they hold, and whether log and org still agree in the end.

Two servers on one store read and change the records of two orgs, whose replies are packed as Salesforce packs them.
All the while answers are lost, cut, slowed, false or without bounds, sessions end, and token requests fail before they
are worked on. Memory and open files of the servers are watched. In the end every answer has its entry, and every
change that an org carried out is one that the log calls succeeded, or unknown.
"""

import asyncio
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.audit import AuditEntry, EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.sandbox.state.request_log import LoggedRequest

from .driving import CALL_SECONDS, Served, serving
from .store_places import IN_FILE, StorePlace

SERVERS, CALLERS = 2, 4
WARM = 0.25
"""The part of the time after which a server holds what it needs."""
FIRST_CALLS = SERVERS * CALLERS * 14
"""Those that open what stays open, before the time begins: two rounds of each caller, however long they take."""
FAULT_SECONDS = 0.25
EXPIRY_SECONDS = 3.0
GROWTH, GROWTH_MIB = 1.2, 24
MORE_DESCRIPTORS = 12
ROWS = r"/services/data/v[0-9.]+/(sobjects|query).*"
TOKENS = ".*/oauth2/token"
FAULTS: list[tuple[int, str, str, dict[str, Any]]] = [
    (8, "close", ROWS, {}),
    (8, "close", ROWS, {"work": True}),
    (6, "reset", ROWS, {"work": True}),
    (8, "cut", ROWS, {"work": True}),
    (4, "hang", ROWS, {"seconds": 1.0}),
    (3, "drip", ROWS, {"seconds": 1.0}),
    (8, "delay", ROWS, {"seconds": 0.5, "work": True}),
    (6, "status", ROWS, {"body": '[{"errorCode":"SERVER_UNAVAILABLE","message":"Server too busy"}]'}),
    (4, "html", ROWS, {}),
    (4, "bad_json", ROWS, {}),
    (2, "deep", ROWS, {}),
    (2, "bomb", ROWS, {}),
    (1, "huge", ROWS, {}),
    (4, "delay", TOKENS, {"seconds": 0.3, "work": True}),
    (1, "close", TOKENS, {}),
]
CHANGES = ("create", "update", "delete")


@dataclass
class Held:
    """What one server held: resident memory in MiB and open descriptors, when it was warm, at most, and in the end."""

    memory: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def note(self, pid: int) -> None:
        """Look at the process."""
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20))
        self.descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))

    @property
    def grows(self) -> bool:
        """Whether it held more in the end than when it was warm, beyond what chance explains."""
        warm, end = self._around(self.memory)
        opened, left = self._around(self.descriptors)
        return end > warm * GROWTH + GROWTH_MIB or left > opened + MORE_DESCRIPTORS

    def _around(self, values: Any) -> tuple[float, float]:
        """The median around the moment it was warm, and in the last tenth."""
        width = max(1, len(values) // 10)
        warm = int(len(values) * WARM)
        return sorted(values[warm : warm + width])[width // 2], sorted(values[-width:])[width // 2]

    def __str__(self) -> str:
        (warm, end), (opened, left) = self._around(self.memory), self._around(self.descriptors)
        return (
            f"{warm:.0f} → {end:.0f} MiB (at most {max(self.memory):.0f}), "
            f"{opened:.0f} → {left:.0f} descriptors (at most {max(self.descriptors)})"
        )


@dataclass
class Soaked:
    """What the soak did."""

    seconds: float
    plain: bool
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By action and outcome."""
    faults: Counter[str] = field(default_factory=Counter)
    held: list[Held] = field(default_factory=list)
    packed: int = 0
    refreshes: int = 0
    changes: int = 0
    """Carried out by the orgs."""
    entries: int = 0
    verified: int = 0
    unknown: int = 0
    unexplained: int = 0
    """Changes whose answer was lost: no entry says that they succeeded."""
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        busy = self.faults.total() > 0 and (self.packed == 0) == self.plain
        answered = self.changes > 2 * self.unexplained
        return busy and answered and not self.wrong and not any(held.grows for held in self.held)

    def __str__(self) -> str:
        outcomes: Counter[str] = Counter()
        for (_, outcome), count in self.answers.items():
            outcomes[outcome] += count
        return (
            f"{self.seconds:.0f} s, {self.answers.total()} calls {dict(outcomes)}, {self.faults.total()} faults, "
            f"{self.packed} packed replies, {self.refreshes} refreshes; {self.changes} changes at Salesforce, "
            f"{self.unexplained} of them without an answer, {self.unknown} entries that say unknown; "
            f"{self.entries} entries, {self.verified} events of the chain verified; "
            f"servers: {'; '.join(map(str, self.held))}; {len(self.wrong)} wrong {self.wrong[:8] or ''}"
        )


async def soak(seconds: float, *, seed: int, plain: bool = False, place: StorePlace = IN_FILE) -> Soaked:
    """Run it for so long, and judge."""
    done, chance = Soaked(seconds, plain), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox.start(2, plain=plain))
            async with open_app(read_settings(place.settings(home), {})) as app:
                await register(app, sandbox)
            began = {org.alias: org.counters.refreshes for org in sandbox.orgs}
            for org in sandbox.orgs:
                org.requests.clear()
            servers = [
                await stack.enter_async_context(serving(home, ORGSERVER_LOG_LEVEL="error", **place.environment))
                for _ in range(SERVERS)
            ]
            await _work(done, servers, sandbox.orgs, chance)
            for number, served in enumerate(servers):
                if await served.end() != 0:
                    done.wrong.append(f"server {number} ended with {served.process.returncode}")
            done.packed = sum(org.counters.packed_replies for org in sandbox.orgs)
            done.refreshes = sum(org.counters.refreshes - began[org.alias] for org in sandbox.orgs)
            async with open_app(read_settings(place.settings(home), {})) as judge:
                await _judge(done, judge, sandbox.orgs)
    return done


async def _work(done: Soaked, servers: list[Served], orgs: list[SandboxOrg], chance: random.Random) -> None:
    stop = asyncio.Event()
    callers = [
        asyncio.create_task(_call_on(done, served, f"S{number}-{caller}", random.Random(chance.random()), stop))
        for number, served in enumerate(servers)
        for caller in range(CALLERS)
    ]
    done.held = [Held() for _ in servers]
    trouble = asyncio.create_task(_trouble(done, orgs, chance, stop))
    while done.answers.total() < FIRST_CALLS and not any(caller.done() for caller in callers):
        await asyncio.sleep(0.05)
    ends = time.monotonic() + done.seconds
    while time.monotonic() < ends and not any(caller.done() for caller in callers):
        for held, served in zip(done.held, servers, strict=True):
            held.note(served.process.pid)
        await asyncio.sleep(max(0.1, done.seconds / 300))  # a look now and then: what is looked at is the time
    stop.set()
    await asyncio.gather(trouble, *callers)


async def _trouble(done: Soaked, orgs: list[SandboxOrg], chance: random.Random, stop: asyncio.Event) -> None:
    """Order faults, and end sessions, until the end."""
    weights = [weight for weight, *_ in FAULTS]
    expiry = time.monotonic() + EXPIRY_SECONDS
    while not stop.is_set():
        await asyncio.sleep(chance.expovariate(1 / FAULT_SECONDS))  # the fault itself: its moments are random
        (_, kind, path, details), org = chance.choices(FAULTS, weights)[0], chance.choice(orgs)
        org.faults[:] = [each for each in org.faults if each.times > 0]
        org.fault(kind, path=path, **details)  # type: ignore[arg-type]
        done.faults[kind] += 1
        if time.monotonic() > expiry:
            chance.choice(orgs).expire_access_tokens()
            expiry = time.monotonic() + EXPIRY_SECONDS
    for org in orgs:
        org.faults.clear()


async def _call_on(done: Soaked, served: Served, name: str, chance: random.Random, stop: asyncio.Event) -> None:
    """Make records and change them, list and query, and ask for what is refused."""
    number = 0
    while not stop.is_set():
        number += 1
        org = {"org": chance.choice(("acme", "globex"))}
        made = await _call(
            done, served, "create", "salesforce_create_contact", org | {"data": {"LastName": f"{name}-{number}"}}
        )
        if made is not None:
            row = org | {"contact_id": made["id"]}
            await _call(done, served, "read", "salesforce_get_contact", row)
            await _call(done, served, "update", "salesforce_update_contact", row | {"data": {"Title": f"T{number}"}})
            await _call(done, served, "delete", "salesforce_delete_contact", row)
        await _call(done, served, "list", "salesforce_list_contacts", org | {"limit": 20})
        await _call(
            done, served, "query", "salesforce_query", org | {"soql": "SELECT Id, Name, Account.Name FROM Contact"}
        )
        await _call(done, served, "create", "salesforce_create_contact", org | {"data": {"Nonsense": number}})


async def _call(
    done: Soaked, served: Served, action: str, tool: str, arguments: dict[str, Any]
) -> dict[str, Any] | None:
    """The result of a call, or None; its outcome is counted."""
    reply = await asyncio.wait_for(served.send("tools/call", {"name": tool, "arguments": arguments}), CALL_SECONDS)
    result = reply["result"]
    if result.get("isError"):
        done.answers[action, json.loads(result["content"][0]["text"])["error"]["outcome"]] += 1
        return None
    done.answers[action, "succeeded"] += 1
    told: dict[str, Any] = result["structuredContent"]
    return told


async def _judge(done: Soaked, judge: App, orgs: list[SandboxOrg]) -> None:
    verified = await judge.audit_log.verify()
    done.verified = verified.events
    if verified.problem is not None:
        done.wrong.append(f"the chain: {verified.problem}")
    changed = {seen.request_id: seen for org in orgs for seen in org.requests if _changed(seen)}
    entries: Counter[tuple[str, str]] = Counter()
    async for entry in _entries(judge):
        entries[entry.action, entry.outcome.value] += 1
        if entry.action in CHANGES:
            _hold_against(done, entry, changed)
    done.entries, done.unexplained = entries.total(), len(changed)
    done.changes += done.unexplained
    done.unknown = sum(
        count for (action, outcome), count in entries.items() if outcome == "unknown" and action in CHANGES
    )
    if done.unexplained > done.unknown:
        done.wrong.append(f"{done.unexplained} changes that no entry explains, {done.unknown} entries that say unknown")
    for key in entries.keys() | done.answers.keys():
        if entries[key] != done.answers[key]:
            done.wrong.append(f"{key}: {done.answers[key]} answers, {entries[key]} entries")
    if any(org.counters.reuses or org.counters.foreign_tokens for org in orgs):
        done.wrong.append("a refresh token was used twice, or an access token sent to another org")


def _changed(seen: LoggedRequest) -> bool:
    return seen.method != "GET" and seen.path.startswith("/services/data/") and 200 <= seen.status < 300


def _hold_against(done: Soaked, entry: AuditEntry, changed: dict[str, LoggedRequest]) -> None:
    """A change that succeeded was carried out, once; what was refused was not."""
    seen = changed.pop(entry.salesforce_request_id, None) if entry.salesforce_request_id else None
    done.changes += seen is not None
    if (entry.outcome is Outcome.SUCCEEDED) != (seen is not None):
        done.wrong.append(f"{entry.action} {entry.id} is {entry.outcome}, and {seen} was carried out")


async def _entries(judge: App) -> AsyncIterator[AuditEntry]:
    async for entry in judge.audit_log.entries(EntryFilter()):
        if entry.tool and entry.tool.startswith("salesforce_"):
            yield entry

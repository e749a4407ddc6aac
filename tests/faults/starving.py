"""A running server loses what it lives on, and gets it back: disk, descriptors, the database's lock, the store's files.

Limits are put on the running process from outside (``prlimit``), and taken off again. Meanwhile nothing may be sent
without an intent on record, every answer says what failed, and afterwards the same process serves again.
"""

import asyncio
import json
import os
import resource
import sqlite3
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox

from .driving import CALL_SECONDS, Served, serving

CALLS = 20
MANY = 500
LIMITS = {
    "ORGSERVER_ABANDONED_SECONDS": "30",
    "ORGSERVER_HEARTBEAT_SECONDS": "0.2",
    "ORGSERVER_LOG_LEVEL": "error",
}


@dataclass
class Starved:
    """What one fault did."""

    fault: str
    refused: Counter[str] = field(default_factory=Counter)
    succeeded: int = 0
    intents: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.fault}: {self.succeeded} succeeded, {dict(self.refused)} refused, {self.intents} intents, "
            f"{len(self.wrong)} wrong {self.wrong[:6] or ''}"
        )


@dataclass
class AllStarved:
    """What every fault did."""

    each: list[Starved] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not any(one.wrong for one in self.each)

    def __str__(self) -> str:
        return "; ".join(map(str, self.each))


@dataclass
class Case:
    """One server on one store, and what it may be deprived of."""

    home: Path
    served: Served
    acme: SandboxOrg
    done: Starved
    before: frozenset[str]
    """Records that were there from the beginning."""

    @property
    def file(self) -> Path:
        return self.home / "orgserver.db"

    def limit(self, which: int, soft: int | None) -> None:
        """Limit the running process; None: as far as it may."""
        hard = resource.prlimit(self.served.process.pid, which)[1]
        resource.prlimit(self.served.process.pid, which, (hard if soft is None else soft, hard))

    async def create(self, name: str) -> str | None:
        """One call; the code it was refused with."""
        arguments = {"org": "acme", "data": {"LastName": name}}
        reply = await asyncio.wait_for(
            self.served.send("tools/call", {"name": "salesforce_create_contact", "arguments": arguments}), CALL_SECONDS
        )
        result = reply["result"]
        if not result.get("isError"):
            self.done.succeeded += 1
            return None
        told = result["content"][0]["text"]
        error = json.loads(told)["error"]
        self.done.refused[error["code"]] += 1
        if "Traceback" in told or not error.get("message"):
            self.done.wrong.append(f"an unclear error: {told}")
        return str(error["code"])

    async def create_many(self, count: int) -> list[str | None]:
        return await asyncio.gather(*(self.create(f"S{number}") for number in range(count)))

    async def refuses_everything(self) -> None:
        """While the store takes nothing, nothing is sent."""
        known = len(self.acme.requests)
        if None in await self.create_many(CALLS):
            self.done.wrong.append("a call succeeded without its intent")
        if len(self.acme.requests) != known:
            self.done.wrong.append(f"{len(self.acme.requests) - known} requests were sent without an intent")

    async def serves_again(self) -> None:
        if (code := await self.create("afterwards")) is not None:
            self.done.wrong.append(f"afterwards: {code}")


@asynccontextmanager
async def laid(one_migration: asyncio.Lock, fault: str) -> AsyncIterator[Case]:
    """A server that has answered one call; judged at the end, when it has gone."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with Sandbox.start(1) as sandbox:
            acme = sandbox.orgs[0]
            async with one_migration, open_app(read_settings({"home": home}, {})) as app:
                await register(app, sandbox)
            async with serving(home, **LIMITS) as served:
                case = Case(home, served, acme, Starved(fault), frozenset(acme.records.tables.get("Contact", ())))
                assert await case.create("before") is None
                yield case
            await _judge(case)


async def _judge(case: Case) -> None:
    done = case.done
    settings = read_settings({"home": case.home, "abandoned_seconds": 0.1, "heartbeat_seconds": 0.05}, {})
    async with open_app(settings) as judge, asyncio.timeout(60):
        while [entry async for entry in judge.audit_log.entries(EntryFilter(outcome="pending"))]:
            await asyncio.sleep(0.05)  # until the sweep has found those of the server that is gone
        entries = [entry async for entry in judge.audit_log.entries(EntryFilter(action="create"))]
        verified = await judge.audit_log.verify()
    done.intents = len(entries)
    recorded = {id_ for entry in entries for id_ in entry.record_ids}
    unknown = sum(entry.outcome is Outcome.UNKNOWN for entry in entries)
    unexplained = set(case.acme.records.tables["Contact"]) - recorded - case.before
    if len(unexplained) > unknown:
        done.wrong.append(f"{len(unexplained)} changes without an intent, {unknown} unknown")
    if sum(entry.outcome is Outcome.SUCCEEDED for entry in entries) < done.succeeded:
        done.wrong.append("an answered call has no outcome")
    if verified.problem is not None:
        done.wrong.append(f"the chain: {verified.problem}")


async def _full_disk(case: Case) -> None:
    """No file may grow; then one call is on its way when the disk fills."""
    case.limit(resource.RLIMIT_FSIZE, 0)
    await case.refuses_everything()
    case.limit(resource.RLIMIT_FSIZE, None)
    await case.serves_again()

    case.acme.fault("delay", path=".*/Contact", seconds=0.5, work=True)
    known = len(case.acme.requests)
    call = asyncio.ensure_future(case.create("on its way"))
    await _until(lambda: len(case.acme.requests) > known)
    case.limit(resource.RLIMIT_FSIZE, 0)
    if (code := await call) != "OUTCOME_NOT_RECORDED":
        case.done.wrong.append(f"a call whose outcome could not be written was told {code}")
    await case.refuses_everything()
    case.limit(resource.RLIMIT_FSIZE, None)
    await case.serves_again()


async def _no_descriptors(case: Case) -> None:
    """Many calls at once when not one more descriptor can be had."""
    case.limit(resource.RLIMIT_NOFILE, len(os.listdir(f"/proc/{case.served.process.pid}/fd")))
    await case.create_many(MANY)
    case.limit(resource.RLIMIT_NOFILE, None)
    await case.serves_again()


async def _locked(case: Case) -> None:
    """Another program holds SQLite's own lock for longer than we wait for it."""
    with closing(sqlite3.connect(case.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await case.refuses_everything()
        other.execute("ROLLBACK")
    await case.serves_again()


async def _gone(case: Case) -> None:
    """The store's files are gone from under the server; then they are put back."""
    files = [case.file, *(case.file.with_name(case.file.name + end) for end in ("-wal", "-shm"))]
    away = case.home / "away"
    away.mkdir()
    for file in files:
        file.rename(away / file.name)
    await case.refuses_everything()
    for file in files:
        (away / file.name).rename(file)
    await case.serves_again()


async def _until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not happened():
            await asyncio.sleep(0.005)


FAULTS = {"disk full": _full_disk, "no descriptors": _no_descriptors, "database locked": _locked, "store gone": _gone}


async def starving(rounds: int = 1) -> AllStarved:
    """Every fault, so often."""
    one_migration = asyncio.Lock()  # Alembic keeps what it works on in globals

    async def one(name: str) -> Starved:
        async with laid(one_migration, name) as case:
            await FAULTS[name](case)
        return case.done

    done = AllStarved()
    for _ in range(rounds):
        done.each += await asyncio.gather(*map(one, FAULTS))
    return done

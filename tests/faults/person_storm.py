"""Every session of fifty people expires at once, again and again, under four processes: one refresh each time for each."""

import asyncio
import random
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.orgs import OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.sandbox.state.logins import Family
from tests.own_logins import connect, set_identity
from tests.people import add_principal

from .connection_driving import Process
from .store_places import IN_FILE, MEMORY, StorePlace
from .storm import DELAY_SECONDS


@dataclass
class PersonStorm:
    """What it did."""

    people: int
    expiries: int
    calls: int = 0
    refreshes: int = 0
    uneven: int = 0
    """Expiries after which somebody's login was refreshed not once."""
    reuses: int = 0
    crossings: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    logins_lost: int = 0

    @property
    def holds(self) -> bool:
        wrong = self.uneven, self.reuses, self.crossings, self.logins_lost, self.failures
        return self.refreshes == self.people * self.expiries and wrong == (0, 0, 0, 0, Counter())

    def __str__(self) -> str:
        return (
            f"{self.people} people, {self.expiries} expiries, {self.calls:,} calls: {self.refreshes:,} refreshes "
            f"({self.uneven} logins not once at an expiry), {self.reuses} reuses, {self.crossings} calls as somebody else, "
            f"{self.logins_lost} logins lost, {sum(self.failures.values())} failed calls {dict(self.failures) or ''}"
        )


async def person_storm(
    *, people: int, processes: int, expiries: int, seed: int, place: StorePlace = IN_FILE
) -> PersonStorm:
    """Run it: each person calls in every process at the same time; the token endpoint is slow now and then."""
    chance, done = random.Random(seed), PersonStorm(people, expiries)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        home = Path(folder) / "home"
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox.start(1))
            acme = sandbox.orgs[0]
            async with open_app(read_settings(place.settings(home), {})) as app:
                await register(app, sandbox)
                families = await _log_everybody_in(app, acme, people)
            before = acme.counters.refreshes
            servers = []
            for _ in range(processes):
                servers.append(await Process.start(home, place))
                stack.push_async_callback(servers[-1].end, kill=False)
            for turn in range(expiries):
                acme.fault("delay", path=".*/token", seconds=chance.uniform(*DELAY_SECONDS), work=chance.random() < 0.5)
                acme.expire_access_tokens()
                acme.requests.clear()
                calls = (_call(each, name, turn) for each in servers for name in families)
                replies: list[dict[str, Any]] = await asyncio.gather(*calls)
                done.calls += len(replies)
                done.failures.update(each["kind"] for each in replies if each["kind"] != "ok")
                done.uneven += sum(each.generation != turn + 1 for each in families.values())
                done.crossings += _count_crossings(acme, families)
            done.refreshes, done.reuses = acme.counters.refreshes - before, acme.counters.reuses
            async with open_app(read_settings(place.settings(home), {})) as app:
                logins = (await app.access.reload()).connections.values()
                done.logins_lost = people - sum(each.state is OrgState.READY for each in logins)
    return done


async def _call(process: Process, name: str, turn: int) -> dict[str, Any]:
    return await process("query", principal=name, org="acme", tag=f"{name}x{turn}x")


def _count_crossings(acme: SandboxOrg, families: dict[str, Family]) -> int:
    """The requests that showed a token of anybody but their caller."""
    count = 0
    for request in acme.requests:
        if "/query" in request.path:
            (name,) = [each for each in families if f"%27{each}x" in request.query or f"'{each}x" in request.query]
            count += request.family != families[name].digest
    return count


async def _log_everybody_in(app: App, acme: SandboxOrg, people: int) -> dict[str, Family]:
    """Give each a user and a login of their own."""
    await set_identity(app, acme.alias, "own")
    families = {}
    for name in (f"p{number}" for number in range(people)):
        await add_principal(app, name, f"{acme.alias}:read,write")
        await connect(app, acme, name)
        families[name] = acme.logins.families[-1]
    return families

"""The holder of a refresh lease is killed, at random and at each named point: what is lost is lost for one reason only.

An org may be lost only where the kill fell between the sending of a token that Salesforce then rotated and the commit
of its answer; the next call proves it with one single try, and the org says why it needs a login.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.orgs import OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.store.orgs.refreshes import SENDING_SECONDS

from .driving import SERVE, Served, failed, serving
from .dying import POINTS
from .store_places import IN_FILE, StorePlace

LEASE, TOKEN, TOKEN_ON_SERVER = "60", 30, 3
GO_ON_SECONDS = 2.0
"""A lease ends with its holder: whoever comes next does not wait for its minute."""
AT_ONCE = 4
DYING = str(Path(__file__).with_name("dying.py"))


@dataclass
class Kills:
    """What the kills did."""

    kills: int = 0
    in_the_window: int = 0
    """Kills after which Salesforce had rotated the token and the store did not know."""
    lost: int = 0
    reuses: int = 0
    slowest: float = 0.0
    """Of the first calls after a kill, in seconds."""
    go_on: float = GO_ON_SECONDS
    """What it may be. On a server a holder may only seem dead: who comes next waits until no answer can come any more,
    where it had sent."""
    wrong: list[str] = field(default_factory=list)
    points: Counter[str] = field(default_factory=Counter)

    @property
    def holds(self) -> bool:
        return not self.wrong and self.lost == self.in_the_window == self.reuses and self.slowest < self.go_on

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({', '.join(f'{count} {point}' for point, count in self.points.items())}): "
            f"{self.in_the_window} with an answer that was never stored, {self.lost} orgs lost and reported, "
            f"{self.reuses} reuses (the proving tries), the slowest call after one {self.slowest:.2f} s, {len(self.wrong)} wrong {self.wrong or ''}"
        )


@dataclass(frozen=True)
class Moment:
    """When a random kill falls, and how slow the token endpoint is meanwhile, before or after its work."""

    kill_after: float
    delay: float
    after_work: bool


async def kills(points: list[str], *, seed: int, place: StorePlace = IN_FILE) -> Kills:
    """Kill one holder for each point: a name of ``dying.POINTS``, ``sent``, or ``random``."""
    chance = random.Random(seed)
    done = Kills(go_on=GO_ON_SECONDS + (SENDING_SECONDS + TOKEN_ON_SERVER if place.server else 0))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox.start(len(points)))
            app = await stack.enter_async_context(open_app(read_settings(place.settings(home), {})))
            await register(app, sandbox)
            survivor = await stack.enter_async_context(serving(home, **_limits(place)))
            await survivor.list_contacts(sandbox.orgs[-1].alias)  # what is imported with the first call is no delay
            places = asyncio.Semaphore(AT_ONCE)

            async def one(org: SandboxOrg, point: str, moment: Moment) -> None:
                async with places:
                    await _kill(done, app, home, org, point, moment, survivor, place)

            await asyncio.gather(
                *(
                    one(org, point, Moment(chance.uniform(0, 0.2), chance.uniform(0, 0.15), chance.random() < 0.5))
                    for org, point in zip(sandbox.orgs, points, strict=True)
                )
            )
    return done


def _limits(place: StorePlace) -> dict[str, str]:
    token = TOKEN_ON_SERVER if place.server else TOKEN
    limits = {"ORGSERVER_LEASE_SECONDS": LEASE, "ORGSERVER_TOKEN_SECONDS": str(token), "ORGSERVER_LOG_LEVEL": "error"}
    return limits | place.environment


async def _kill(
    done: Kills, app: App, home: Path, org: SandboxOrg, point: str, moment: Moment, survivor: Served, place: StorePlace
) -> None:
    known = org.counters.refreshes
    command = (DYING, point) if point in POINTS else SERVE
    async with serving(home, command, **_limits(place)) as victim:
        await victim.list_contacts(org.alias)  # what is imported with the first call is not the moment that is meant
        if point == "sent":
            org.fault("delay", path=".*/token", seconds=1, work=True)
        elif point == "random":
            org.fault("delay", path=".*/token", seconds=moment.delay, work=moment.after_work)
        org.expire_access_tokens()
        call = asyncio.ensure_future(victim.list_contacts(org.alias))
        if point == "random":
            await asyncio.sleep(moment.kill_after)
        elif point == "sent":
            async with asyncio.timeout(30):
                while org.counters.refreshes == known:
                    await asyncio.sleep(0.01)
        else:
            await victim.gone()
        await victim.kill()
        await asyncio.gather(call, return_exceptions=True)
    org.faults.clear()
    async with asyncio.timeout(30):
        while org.in_process:  # what was sent before the kill is still carried out
            await asyncio.sleep(0.01)
    rotated = org.counters.refreshes > known
    async with app.store.database.reading() as connection:
        credential = await app.store.orgs.credentials.credential(connection, (await app.registry.one(org.alias)).login)
    assert credential is not None
    in_the_window = rotated and credential.fencing == 1
    began = time.monotonic()
    error = failed(await survivor.list_contacts(org.alias))
    done.slowest = max(done.slowest, time.monotonic() - began)
    _judge(done, point, org, in_the_window, error, await app.registry.one(org.alias))


def _judge(done: Kills, point: str, org: SandboxOrg, in_the_window: bool, error: dict | None, found: object) -> None:
    done.kills += 1
    done.points[point] += 1
    done.in_the_window += in_the_window
    done.reuses += org.counters.reuses
    state, cause = found.state, found.cause or ""  # type: ignore[attr-defined]
    if in_the_window:
        told = state is OrgState.NEEDS_LOGIN and "was lost" in cause and error is not None
        done.lost += told
        if not told or org.counters.reuses != 1:
            done.wrong.append(f"{org.alias} {point}: {state}, {cause!r}, {org.counters.reuses} reuses, {error}")
    elif error is not None or state is not OrgState.READY or org.counters.reuses:
        done.wrong.append(f"{org.alias} {point}: {state}, {cause!r}, {org.counters.reuses} reuses, {error}")

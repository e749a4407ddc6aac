"""The holder of a refresh lease is killed, at random and at each named point: what is lost is lost for one reason only.

A login, an org's or one person's own, may be lost only where the kill fell between the sending of a token that
Salesforce then rotated and the commit of its answer; the next call proves it with one single try, and the login says why
it must be given anew. No request shows another login's token meanwhile.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.cli.process import local_principal
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller, Org, OrgState
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.store.orgs.refreshes import SENDING_SECONDS
from tests.own_logins import connect, set_identity
from tests.people import add_principal

from . import dying, program
from .driving import Served, failed, serving_forked
from .store_places import IN_FILE, StorePlace

LEASE, TOKEN, TOKEN_ON_SERVER = "60", 30, 3
GO_ON_SECONDS = 2.0
"""A lease ends with its holder: whoever comes next does not wait for its minute."""
AT_ONCE = 4


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
            f"{self.in_the_window} with an answer that was never stored, {self.lost} logins lost and reported, "
            f"{self.reuses} reuses (the proving tries), the slowest call after one {self.slowest:.2f} s, {len(self.wrong)} wrong {self.wrong or ''}"
        )


@dataclass(frozen=True)
class Moment:
    """When a random kill falls, and how slow the token endpoint is meanwhile, before or after its work."""

    begin: str
    """What the org counts when the time begins: an ended token, or what came to the token endpoint."""
    kill_after: float
    delay: float
    after_work: bool


async def kills(points: list[str], *, seed: int, own: bool = False, place: StorePlace = IN_FILE) -> Kills:
    """Kill one holder for each point: a name of ``dying.POINTS``, ``sent``, or ``random``.

    Each has an org, and refreshes the login that all share, or one person's ``own``.
    """
    chance = random.Random(seed)
    done = Kills(go_on=GO_ON_SECONDS + (SENDING_SECONDS + TOKEN_ON_SERVER if place.server else 0))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox.start(len(points)))
            app = await stack.enter_async_context(open_app(read_settings(place.settings(home), {})))
            await register(app, sandbox)
            caller = await _log_in(app, sandbox) if own else Caller(Principal(local_principal()), "stdio")
            serve = partial(serving_forked, home, **_limits(place))
            survivor = await stack.enter_async_context(serve(("serve", *_options(caller))))
            await survivor.list_contacts(sandbox.orgs[-1].alias)  # what is imported with the first call is no delay
            places = asyncio.Semaphore(AT_ONCE)

            async def one(org: SandboxOrg, point: str, moment: Moment) -> None:
                async with places:
                    await _kill(done, app, serve, org, point, moment, survivor, caller)

            await asyncio.gather(*(one(*each, _moment(chance)) for each in zip(sandbox.orgs, points, strict=True)))
    return done


def _moment(chance: random.Random) -> Moment:
    begin = chance.choice(("stale_tokens", "token_requests"))
    return Moment(begin, chance.uniform(0, 0.2), chance.uniform(0, 0.15), chance.random() < 0.5)


async def _log_in(app: App, sandbox: Sandbox) -> Caller:
    """Give a person a login of their own to each org, with a session, as a click in the browser does."""
    caller = await add_principal(app, "ada", *(f"{org.alias}:read" for org in sandbox.orgs))
    for org in sandbox.orgs:
        await set_identity(app, org.alias, "own")
        await connect(app, org, caller.principal.name)
        await app.access.tokens.renew(await _org(app, caller, org))
    return caller


async def _org(app: App, caller: Caller, org: SandboxOrg) -> Org:
    """An org as it stands for this caller, with the login that their calls use."""
    found = await app.access.current_org(caller, org.alias)
    assert found is not None
    return found


def _options(caller: Caller) -> tuple[str, ...]:
    return () if caller.principal.is_local else ("--principal", caller.principal.name)


def _limits(place: StorePlace) -> dict[str, str]:
    token = TOKEN_ON_SERVER if place.server else TOKEN
    limits = {"ORGSERVER_LEASE_SECONDS": LEASE, "ORGSERVER_TOKEN_SECONDS": str(token), "ORGSERVER_LOG_LEVEL": "error"}
    return limits | place.environment


async def _kill(
    done: Kills,
    app: App,
    serve: Callable[..., AbstractAsyncContextManager[Served]],
    org: SandboxOrg,
    point: str,
    moment: Moment,
    survivor: Served,
    caller: Caller,
) -> None:
    known, counted = org.counters.refreshes, getattr(org.counters, moment.begin)
    org.requests.clear()
    run, word = (dying.run, point) if point in dying.POINTS else (program.run, "serve")
    async with serve((word, *_options(caller)), run) as victim:
        await victim.list_contacts(org.alias)  # what is imported with the first call is not the moment that is meant
        if point == "sent":
            org.fault("delay", path=".*/token", seconds=1, work=True)
        elif point == "random":
            org.fault("delay", path=".*/token", seconds=moment.delay, work=moment.after_work)
        org.expire_access_tokens()
        call = asyncio.ensure_future(victim.list_contacts(org.alias))
        if point == "random":
            await _until(lambda: getattr(org.counters, moment.begin) > counted)
            await asyncio.sleep(moment.kill_after)
        elif point == "sent":
            await _until(lambda: org.counters.refreshes > known)
        else:
            await victim.gone()
        await victim.kill()
        await asyncio.gather(call, return_exceptions=True)
    org.faults.clear()
    await _until(lambda: not org.in_process)  # what was sent before the kill is still carried out
    rotated = org.counters.refreshes > known
    async with app.store.database.reading() as connection:
        credential = await app.store.orgs.credentials.credential(connection, (await _org(app, caller, org)).login)
    assert credential is not None
    in_the_window = rotated and credential.fencing == 1
    began = time.monotonic()
    error = failed(await survivor.list_contacts(org.alias))
    done.slowest = max(done.slowest, time.monotonic() - began)
    shared = await app.registry.one(org.alias)
    _judge(done, point, org, in_the_window, error, await _org(app, caller, org), shared)


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)


def _judge(
    done: Kills, point: str, org: SandboxOrg, in_the_window: bool, error: dict | None, found: Org, shared: Org
) -> None:
    done.kills += 1
    done.points[point] += 1
    done.in_the_window += in_the_window
    done.reuses += org.counters.reuses
    is_lost = found.state is OrgState.NEEDS_LOGIN and "was lost" in (found.cause or "") and error is not None
    done.lost += is_lost
    is_well = found.state is OrgState.READY and error is None
    others = {each.family for each in org.requests if each.family} - {org.logins.families[-1].digest}
    is_another_lost = found.login.is_own and shared.state is not OrgState.READY
    right = is_lost if in_the_window else is_well
    if not right or org.counters.reuses != in_the_window or others or is_another_lost:
        text = f"{found.state}, {found.cause!r}, {org.counters.reuses} reuses, {error}, the shared one {shared.state}"
        done.wrong.append(f"{org.alias} {point}: {text}, {len(others)} other logins used")

"""A thousand orgs expire at once: their refreshes overlap, a few at a time, and the store stays responsive.

The healthy org is asked through a second server on the same store, and has a sandbox of its own: what is measured is
the store, not how busy one process is. On a small machine the processor is: so the same calls are also timed beside
processes that only burn as much of it and touch no store.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model import names
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller
from orgserver.model.secret import Secret
from orgserver.services.orgs.enrolment import Registration

from .driving import Served, failed, serving
from .store_places import IN_FILE, StorePlace

DELAY = 0.1
HEALTHY_CALLS = 500
BURNERS = 3
"""The processes that a storm keeps busy: a server, a sandbox, and this one."""


@dataclass
class Many:
    """What happened."""

    orgs: int
    seconds: float = 0
    refreshes: int = 0
    most_in_flight: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    normal_p99_ms: float = 0
    burning_p99_ms: float = 0
    busy_p99_ms: float = 0

    @property
    def holds(self) -> bool:
        return self.refreshes == self.orgs and not self.failures and 1 < self.most_in_flight <= 20

    def __str__(self) -> str:
        return (
            f"{self.orgs} orgs expired at once: {self.refreshes} refreshes in {self.seconds:.1f} s, at most "
            f"{self.most_in_flight} in flight, {sum(self.failures.values())} failed calls {dict(self.failures) or ''}; "
            f"p99 of a healthy org {self.busy_p99_ms:.1f} ms meanwhile, {self.normal_p99_ms:.1f} ms on an idle machine "
            f"({self.busy_p99_ms / self.normal_p99_ms:.2f} x), {self.burning_p99_ms:.1f} ms beside {BURNERS} processes "
            f"that only burn processor time ({self.busy_p99_ms / self.burning_p99_ms:.2f} x)"
        )


@asynccontextmanager
async def sandbox(orgs: int) -> AsyncIterator[list[dict[str, Any]]]:
    """Pretend orgs in a process of their own, so that serving them does not slow what is measured."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "orgserver", "sandbox", "--orgs", str(orgs)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        limit=1 << 24,
    )
    assert process.stdout is not None
    text = b""
    while not text.endswith(b"\n}\n"):
        text += await process.stdout.readline()
    try:
        yield json.loads(text)["orgs"]
    finally:
        process.terminate()
        await process.wait()


async def many(orgs: int, place: StorePlace = IN_FILE) -> Many:
    """Register them all, end every session, and call every org at once while one more is asked all the time."""
    done = Many(orgs)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with sandbox(orgs) as expiring, sandbox(1) as others, httpx.AsyncClient(timeout=60) as control:
            healthy = others[0]["alias"] = "healthy"
            await _register(home, expiring + others, place)
            environment = place.environment
            async with serving(home, **environment) as server, serving(home, **environment) as second:
                await server.list_contacts(healthy)
                await _calls(second, healthy, HEALTHY_CALLS)
                normal = await _calls(second, healthy, HEALTHY_CALLS)
                with _burning():
                    burning = await _calls(second, healthy, HEALTHY_CALLS)
                before = 0
                for org in expiring:
                    state = (await control.get(f"{org['url']}/sandbox/state")).json()
                    before += state["counters"]["refreshes"]
                    await control.post(f"{org['url']}/sandbox/knobs", json={"token_delay": [DELAY, DELAY]})
                    await control.delete(f"{org['url']}/sandbox/requests")
                    await control.post(f"{org['url']}/sandbox/expire")
                began = time.monotonic()
                storm = asyncio.gather(*(server.list_contacts(org["alias"]) for org in expiring))
                busy: list[float] = []
                while not storm.done():
                    busy += await _calls(second, healthy, 5)
                done.seconds = time.monotonic() - began
                done.failures.update(error["code"] for error in map(failed, await storm) if error)
            moments: list[float] = []
            for org in expiring:
                seen = (await control.get(f"{org['url']}/sandbox/requests")).json()
                moments += [each["time"] for each in seen if each["path"].endswith("/token")]
                done.refreshes += (await control.get(f"{org['url']}/sandbox/state")).json()["counters"]["refreshes"]
            done.refreshes -= before
            done.most_in_flight = _overlap(moments)
            done.normal_p99_ms, done.burning_p99_ms, done.busy_p99_ms = _p99(normal), _p99(burning), _p99(busy)
    return done


@contextmanager
def _burning() -> Iterator[None]:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(2000))"]) for _ in range(BURNERS)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


async def _register(home: Path, told: list[dict[str, Any]], place: StorePlace) -> None:
    places = asyncio.Semaphore(8)
    async with open_app(read_settings(place.settings(home), {})) as app:

        async def one(org: dict[str, Any]) -> None:
            async with places:
                registration = Registration(
                    alias=names.alias(org["alias"]),
                    client_id=org["client_id"],
                    client_secret=Secret(org["client_secret"]),
                    refresh_token=Secret(org["refresh_token"]),
                    login_url=org["login_url"],
                    instance_url=org["instance_url"],
                    trusted_hosts=tuple(org["trust_hosts"]),
                    source="the sandbox",
                )
                await app.enrolment.add(Caller(Principal("local:faults"), "cli"), registration)

        await asyncio.gather(*(one(org) for org in told))


async def _calls(server: Served, org: str, count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = time.monotonic()
        assert failed(await server.list_contacts(org)) is None
        times.append((time.monotonic() - began) * 1_000)
    return times


def _overlap(ends: list[float]) -> int:
    """How many token requests were under way at once, when each took ``DELAY`` before it was written down."""
    steps = sorted([(end - DELAY, 1) for end in ends] + [(end, -1) for end in ends])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]

"""Every token expires at once, again and again, under many callers in several processes: one refresh each time."""

import asyncio
import random
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.orgs import OrgState
from orgserver.sandbox.server import Sandbox

from .driving import failed, serving
from .store_places import IN_FILE, StorePlace

DELAY_SECONDS = (0.0, 0.12)


@dataclass
class Storm:
    """What a storm did."""

    expiries: int
    calls: int = 0
    refreshes: int = 0
    reuses: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    orgs_lost: int = 0

    @property
    def holds(self) -> bool:
        return (self.refreshes, self.reuses, self.orgs_lost, self.failures) == (self.expiries, 0, 0, Counter())

    def __str__(self) -> str:
        return (
            f"{self.expiries} expiries, {self.calls} calls: {self.refreshes} refreshes, {self.reuses} reuses, "
            f"{self.orgs_lost} orgs lost, {sum(self.failures.values())} failed calls {dict(self.failures) or ''}"
        )


async def storm(*, processes: int, callers: int, expiries: int, seed: int, place: StorePlace = IN_FILE) -> Storm:
    """Run it: rotation on, the token endpoint slow by a random time before and after its work."""
    chance = random.Random(seed)
    done = Storm(expiries)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox.start(1))
            acme = sandbox.orgs[0]
            async with open_app(read_settings(place.settings(home), {})) as app:
                await register(app, sandbox)
            servers = [await stack.enter_async_context(serving(home, **place.environment)) for _ in range(processes)]
            before = acme.counters.refreshes
            for _ in range(expiries):
                acme.fault("delay", path=".*/token", seconds=chance.uniform(*DELAY_SECONDS), work=chance.random() < 0.5)
                acme.expire_access_tokens()
                calls: list[dict[str, Any]] = await asyncio.gather(
                    *(server.list_contacts("acme") for server in servers for _ in range(callers))
                )
                done.calls += len(calls)
                done.failures.update(error["code"] for error in map(failed, calls) if error)
            done.refreshes = acme.counters.refreshes - before
            done.reuses = acme.counters.reuses
            async with open_app(read_settings(place.settings(home), {})) as app:
                done.orgs_lost = sum(org.state is not OrgState.READY for org in await app.registry.all())
    return done

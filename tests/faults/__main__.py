"""`python -m tests.faults`: every fault at length; `--quick` for the sizes of the test suite. Exit 1 if one does not hold."""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from tests.replicas.losing import lose_replicas
from tests.replicas.upgrading import upgrade_replicas
from tests.store_server import StoreServer

from .bodies import bodies
from .connections import connections
from .decisions import run_decisions
from .dying import POINTS
from .ending import ended
from .hostile_http import attack_process
from .kills import kills
from .lost_commits import lost_commits
from .many import many
from .moving import POINTS as STEPS
from .moving import RANDOM, moving
from .person_storm import person_storm
from .powercut import powercuts
from .server_kills import server_kills
from .servers import servers
from .signin import sign_in
from .soak import soak
from .starving import starving
from .stopping import stopped
from .store_places import IN_FILE, StorePlace, own_server, place_of
from .storm import storm
from .tampering import tamperings

NAMED = (*POINTS, "sent")


def anywhere(
    seed: int, place: StorePlace, *, quick: bool, minutes: float, plain: bool
) -> dict[str, Callable[[], Awaitable[object]]]:
    """Faults for a store wherever it lies, by name."""
    rounds = 1 if quick else 50
    return {
        "storm": lambda: storm(processes=4, callers=64, expiries=20, seed=seed, place=place),
        "people": lambda: person_storm(people=50, processes=4, expiries=20, seed=seed, place=place),
        "connections": lambda: connections(4_000 if quick else 200_000, seed=seed, place=place),
        "points": lambda: kills(list(NAMED) * rounds, seed=seed, place=place),
        "kills": lambda: kills(["random"] * (20 if quick else 500), seed=seed, place=place),
        "own-points": lambda: kills(list(NAMED) * rounds, seed=seed, own=True, place=place),
        "own-kills": lambda: kills(["random"] * (20 if quick else 500), seed=seed, own=True, place=place),
        "many": lambda: many(200 if quick else 1_000, place),
        "servers": lambda: servers(30 if quick else 500, seed=seed, place=place),
        "stopped": lambda: stopped(25 if quick else 250, seed=seed, place=place),
        "ended": lambda: ended(2 if quick else 100, seed=seed, place=place),
        "soak": lambda: soak(10 if quick else minutes * 60, seed=seed, plain=plain, place=place),
    }


def on_server(seed: int, place: StorePlace, *, quick: bool) -> dict[str, Callable[[], Awaitable[object]]]:
    """Faults of a server, by name."""
    return {
        "commits": lambda: lost_commits(*((12, 12) if quick else (100, 100)), seed=seed, place=place),
        "struck": lambda: server_kills(10 if quick else 125, seed=seed, place=place),
        "moving": lambda: moving(STEPS if quick else (*STEPS, *STEPS, *[RANDOM] * 30), seed=seed, place=place),
        "replicas": lambda: lose_replicas(3 if quick else 100, seed=seed, database_url=place.url or ""),
        "upgrade": lambda: upgrade_replicas(place.url or "", 2 if quick else 4),
    }


def in_file(seed: int, *, quick: bool) -> dict[str, Callable[[], Awaitable[object]]]:
    """Faults of a file, and those that no store matters to, by name."""
    return {
        "tamper": lambda: tamperings(2_000 if quick else 50_000, 40 if quick else 1_000, seed=seed),
        "starving": lambda: starving(1 if quick else 20),
        "bodies": bodies,
        "http": lambda: attack_process(1_000 if quick else 20_000, seed=seed, slow=0 if quick else 40),
        "decisions": lambda: run_decisions(5_000 if quick else 500_000, seed=seed),
        "signin": lambda: sign_in(2_000 if quick else 100_000, seed=seed),
        "power": lambda: powercuts(100 if quick else 2_000, 20 if quick else 200, seed=seed),
    }


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "faults",
        nargs="*",
        help="storm, people, connections, points, kills, own-points, own-kills, many, servers, stopped, ended, soak; in a file tamper, starving, bodies, http, decisions, signin, power; on a server commits, struck, replicas, upgrade, moving; all when none is named",
    )
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite", help="where the stores lie")
    parser.add_argument("--quick", action="store_true", help="the sizes of the test suite")
    parser.add_argument("--minutes", type=float, default=1, help="how long the soak lasts")
    parser.add_argument("--plain", action="store_true", help="let the orgs of the soak pack nothing")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(own_server()) if options.store == "postgresql" else None
        return int(bool([name for name in _names(options, server) if not await _holds(name, options, server)]))


def _names(options: argparse.Namespace, server: StoreServer | None) -> list[str]:
    every = _runs(options, IN_FILE if server is None else StorePlace("", server))
    return [name for name in every if not options.faults or name in options.faults]


def _runs(options: argparse.Namespace, place: StorePlace) -> dict[str, Callable[[], Awaitable[object]]]:
    seed, quick = options.seed, options.quick
    here = in_file(seed, quick=quick) if place.server is None else on_server(seed, place, quick=quick)
    return anywhere(seed, place, quick=quick, minutes=options.minutes, plain=options.plain) | here


async def _holds(name: str, options: argparse.Namespace, server: StoreServer | None) -> bool:
    """Run one, on a new database where it is on a server; whether it holds."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        place = IN_FILE if server is None else await stack.enter_async_context(place_of(server))
        figures = await _runs(options, place)[name]()
    held: bool = figures.holds  # type: ignore[attr-defined]
    load = os.getloadavg()[0]
    print(
        f"{name:<11} {'holds' if held else 'DOES NOT HOLD'} ({time.monotonic() - began:.0f} s, load {load:.0f})  {figures}",
        flush=True,
    )
    return held


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

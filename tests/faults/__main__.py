"""`python -m tests.faults`: every fault at length; `--quick` for the sizes of the test suite. Exit 1 if one does not hold."""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable

from .bodies import bodies
from .decisions import run_decisions
from .dying import POINTS
from .ending import ended
from .hostile_http import attack_process
from .kills import kills
from .many import many
from .powercut import powercuts
from .servers import servers
from .signin import sign_in
from .soak import soak
from .starving import starving
from .stopping import stopped
from .storm import storm
from .tampering import tamperings

NAMED = (*POINTS, "sent")


def runs(seed: int, *, quick: bool, minutes: float, plain: bool) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every fault by name."""
    rounds = 1 if quick else 50
    return {
        "storm": lambda: storm(processes=4, callers=64, expiries=20, seed=seed),
        "points": lambda: kills(list(NAMED) * rounds, seed=seed),
        "kills": lambda: kills(["random"] * (20 if quick else 500), seed=seed),
        "many": lambda: many(200 if quick else 1_000),
        "tamper": lambda: tamperings(2_000 if quick else 50_000, 40 if quick else 1_000, seed=seed),
        "servers": lambda: servers(30 if quick else 500, seed=seed),
        "stopped": lambda: stopped(25 if quick else 250, seed=seed),
        "ended": lambda: ended(2 if quick else 100, seed=seed),
        "starving": lambda: starving(1 if quick else 20),
        "bodies": bodies,
        "http": lambda: attack_process(1_000 if quick else 20_000, seed=seed, slow=0 if quick else 40),
        "decisions": lambda: run_decisions(5_000 if quick else 500_000, seed=seed),
        "signin": lambda: sign_in(2_000 if quick else 100_000, seed=seed),
        "power": lambda: powercuts(100 if quick else 2_000, 20 if quick else 200, seed=seed),
        "soak": lambda: soak(10 if quick else minutes * 60, seed=seed, plain=plain),
    }


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "faults",
        nargs="*",
        help="storm, points, kills, many, tamper, servers, stopped, ended, starving, bodies, http, decisions, signin, power, soak; all when none is named",
    )
    parser.add_argument("--quick", action="store_true", help="the sizes of the test suite")
    parser.add_argument("--minutes", type=float, default=1, help="how long the soak lasts")
    parser.add_argument("--plain", action="store_true", help="let the orgs of the soak pack nothing")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    bad = 0
    for name, run in runs(options.seed, quick=options.quick, minutes=options.minutes, plain=options.plain).items():
        if options.faults and name not in options.faults:
            continue
        began = time.monotonic()
        figures = await run()
        held = figures.holds  # type: ignore[attr-defined]
        bad += not held
        print(
            f"{name:<10}{'holds' if held else 'DOES NOT HOLD'} ({time.monotonic() - began:.0f} s)  {figures}",
            flush=True,
        )
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""`python -m tests.bench`: orgserver against the bare SDK's echo, in one run on one machine, as one Markdown table.

Each alternation measures everybody once, one after the other, by the same client; every figure is the median of the
alternations' ratios with their range. Absolute figures vary with the machine, ratios little. Nothing is judged here:
bounds are beside the figures. Both audit rows are durable and tokens are sealed in all of orgserver's figures.
"""

import argparse
import dataclasses
import gc
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from tests.bench import figures, peers
from tests.bench.figures import Figure
from tests.bench.homes import Participant
from tests.bench.scenarios import SCENARIOS
from tests.bench.world import Sizes, World, upstream

PEERS = "peers"
EVERY = (*SCENARIOS, PEERS)


@contextmanager
def open_world(participants: Sequence[Participant], sizes: Sizes, *, packed: bool) -> Iterator[World]:
    """What everything is measured with."""
    gc.disable()  # of this process: no pause of the client's is a server's
    try:
        with upstream(packed=packed) as (fast, slow), tempfile.TemporaryDirectory(prefix="orgserver-bench-") as folder:
            yield World(sizes, Path(folder), participants, packed, fast, slow)
    finally:
        gc.enable()


def participants_of(servers: Sequence[str]) -> list[Participant]:
    """The orgserver of this environment, and those of other Pythons: ``NAME=PATH``, or a path that names it."""
    all_of_them = [Participant.of("orgserver", sys.executable)]
    for server in servers:
        name, _, python = server.rpartition("=")
        path = os.path.abspath(python)  # a link into a virtual environment stays what it is
        all_of_them.append(Participant.of(name or Path(path).parents[1].name.removesuffix(".venv"), path))
    return all_of_them


def heading(participants: Sequence[Participant], sizes: Sizes, *, packed: bool) -> str:
    """What was measured with what, and how busy the machine was."""
    form = "packed with gzip, in chunks" if packed else "plain"
    lines = [
        f"{os.cpu_count()} cores, Python {platform.python_version()}, mcp {version('mcp')}; replies {form}; "
        f"{sizes.alternations} alternations; load {os.getloadavg()[0]:.1f}"
    ]
    return "\n".join([*lines, *(f"{each.name}: {each.source}" for each in participants if len(participants) > 1)])


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=EVERY, metavar="SCENARIO", help=", ".join(EVERY))
    parser.add_argument("--quick", action="store_true", help="a look, not a judgement: about two minutes")
    parser.add_argument("--alternations", type=int, help=f"how often each is measured (default {Sizes.alternations})")
    parser.add_argument("--plain", action="store_true", help="let the org pack nothing; it packs as Salesforce does")
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="[NAME=]PYTHON",
        help="measure the orgserver of another environment's Python too, such as another checkout's",
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--against", type=Path, metavar="FILE", help="show the ratios of kept figures beside these")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, print, keep."""
    options = parse()
    sizes = Sizes.quick() if options.quick else Sizes()
    if options.alternations:
        sizes = dataclasses.replace(sizes, alternations=options.alternations)
    participants = participants_of(options.server)
    packed = not options.plain
    earlier = figures.load(options.against) if options.against else []
    print(heading(participants, sizes, packed=packed), end="\n\n", flush=True)
    began, measured = time.monotonic(), list[Figure]()
    with open_world(participants, sizes, packed=packed) as world:
        try:
            for name in options.only or EVERY:
                measured += SCENARIOS[name](world) if name in SCENARIOS else ()
                gc.collect()
        finally:  # what is measured is shown, whatever ends the run
            if measured:
                print(figures.table(measured, [each.name for each in participants], earlier), end="\n\n", flush=True)
                if options.save:
                    figures.save(options.save, measured)
        if PEERS in (options.only or EVERY):
            print(peers.table(world), end="\n\n")
    print(f"{time.monotonic() - began:.0f} s; load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

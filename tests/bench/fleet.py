"""Ten thousand orgs and a thousand principals: `python -m tests.bench.fleet [--only PART] [--orgs N] [--principals N]`.

A store is made of them by the product's own code, and beside it one of ten orgs and one principal. Then each part is
measured: how a server starts and what it holds, what a change of one org costs those who read it, lists, commands, an
import into the large store, and a call in each of the two. Nothing is judged here; bounds stand beside the figures.
"""

import argparse
import asyncio
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller
from orgserver.services.calls.plan import Call
from tests.bench import homes, stores
from tests.bench.client import Server, call, drive
from tests.bench.homes import Participant
from tests.bench.world import CALLERS, LIST, upstream
from tests.bench.writer import tell
from tests.people import principal_changes

_IMPORTED = 400
_ROUNDS = 7


def command(home: Path, *arguments: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run a command of orgserver's; how long it took, and what came of it."""
    began = time.perf_counter()
    done = subprocess.run(
        [*homes.script(sys.executable), *arguments], env=homes.environment(home), capture_output=True, text=True,
        check=False, cwd=home,
    )  # fmt: skip
    return time.perf_counter() - began, done


# -- parts


def measure_start(many: Path, _few: Path) -> None:
    """Until a server has answered its first call, what it holds then, and what it holds of a hundred orgs it called."""
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        with Server([*homes.script(sys.executable), "serve"], homes.environment(many), many) as server:
            server.begin()
            drive([call(server, {"name": "salesforce_list_orgs", "arguments": {}}, 1)])
            times.append(time.perf_counter() - began)
            rss, files, tasks = server.rss_mb(), *held(server.process.pid)
    tell("start to the first answer of salesforce_list_orgs (≤ 2 s)", f"{statistics.median(times):.2f} s")
    tell("memory then (≤ 300 MB)", f"{rss:.0f} MB")
    tell("descriptors, sockets, threads then", f"{files[0]}, {files[1]}, {tasks}")


def held(process: int) -> tuple[tuple[int, int], int]:
    """How many descriptors and sockets a process has, and how many threads."""
    folder = Path(f"/proc/{process}")
    links = [os.readlink(each) for each in (folder / "fd").iterdir()]
    return (len(links), sum(each.startswith("socket:") for each in links)), len([*(folder / "task").iterdir()])


def measure_change(many: Path, _few: Path) -> None:
    """What one changed org, or one changed grant, costs a server that has read all of them."""
    asyncio.run(_measure_change(many))


async def _measure_change(many: Path) -> None:
    caller = Caller(Principal("local:bench"), "cli")
    async with (
        open_app(read_settings({"home": many, "log_level": "error"}, {})) as app,
        open_app(read_settings({"home": many, "log_level": "error"}, {})) as other,
    ):
        began = time.perf_counter()
        await app.access.reload()
        tell("reading all orgs and standings", f"{(time.perf_counter() - began) * 1_000:.0f} ms")
        costs: dict[str, list[tuple[float, float, float]]] = {"org": [], "principal": []}
        for number in range(_ROUNDS):
            await other.registry.update(caller, "org-00005", tags=(f"round-{number}",))
            costs["org"].append(await _cost(app.access.reload))
            await other.people.principals.update(
                caller, "principal-5", principal_changes(limits=Policy(row_limit=500 + number))
            )
            costs["principal"].append(await _cost(app.access.reload))
    for what, each in costs.items():
        elapsed, cpu, gap = (statistics.median(values) * 1_000 for values in zip(*each, strict=True))
        tell(
            f"after a change of one {what}: elapsed, CPU, longest gap of the loop",
            f"{elapsed:.1f}, {cpu:.1f}, {gap:.1f} ms",
        )


async def _cost(work) -> tuple[float, float, float]:
    """Elapsed seconds, the processor's, and for how long the event loop did nothing else."""
    gaps = [0.0]

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            gaps.append(time.perf_counter() - began)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0.01)
    gaps.clear()
    began, cpu = time.perf_counter(), time.process_time()
    await work()
    result = time.perf_counter() - began, time.process_time() - cpu
    await asyncio.sleep(0)
    watching.cancel()
    return *result, max(gaps)


def measure_lists(many: Path, _few: Path) -> None:
    """`salesforce_list_orgs`: all pages, the largest, and a search."""
    asyncio.run(_measure_lists(many))


async def _measure_lists(many: Path) -> None:
    async with open_app(read_settings({"home": many, "log_level": "error"}, {})) as app:
        for who in ("local:bench", "principal-7"):
            for match in (None, "org-0099"):
                times, sizes, count, cursor = [], [], 0, None
                while True:
                    began = time.perf_counter()
                    page = await app.services.visible_orgs.page(
                        Call(Caller(Principal(who), "stdio"), "bench"), match, cursor
                    )
                    times.append(time.perf_counter() - began)
                    sizes.append(len(json.dumps(page.orgs)))
                    count, cursor = count + len(page.orgs), page.next_cursor
                    if cursor is None:
                        break
                tell(
                    f"list_orgs of {who}, match {match}: {count:,} orgs in {len(times)} pages, the largest",
                    f"{max(sizes) / 1_000:.1f} kB, {statistics.median(times) * 1_000:.1f} ms a page",
                )


def measure_commands(many: Path, _few: Path) -> None:
    """The commands that look at everything."""
    for arguments in (
        ("list-orgs",), ("list-orgs", "--match", "org-0099"), ("list-orgs", "--problems"), ("list-orgs", "--json"),
        ("show-org", "org-00077"), ("update-org", "org-00077", "--tag", "x"), ("list-principals",), ("doctor",),
        ("backup", "copy.db"), ("rotate-key",), ("rotate-key", "--reseal"), ("audit", "report"),
        ("access-report",), ("audit", "verify"), ("refresh-idle",),
    ):  # fmt: skip
        took, done = command(many, *arguments)
        lines = len(done.stdout.splitlines()), len(done.stderr.splitlines())
        tell(f"{' '.join(arguments)}: exit {done.returncode}, {lines[0]:,} lines, {lines[1]:,} told", f"{took:.2f} s")


def measure_import(many: Path, _few: Path) -> None:
    """`import-orgs` of orgs that are proven, each by requests of its own, into the large store."""
    with subprocess.Popen(
        [*homes.script(sys.executable), "sandbox", "--orgs", str(_IMPORTED), "--first-org", "5000"],
        stdout=subprocess.PIPE, env=homes.environment(), text=True,
    ) as sandbox:  # fmt: skip
        try:
            described, _ = json.JSONDecoder().raw_decode(read_json(sandbox.stdout))
            file = many / "orgs.csv"
            write_csv(file, described["orgs"])
            took, done = command(many, "import-orgs", "--csv", str(file), "--yes")
        finally:
            sandbox.terminate()
    tell(f"import-orgs: {done.stderr.strip().splitlines()[-2:]}", f"{took:.1f} s")
    tell("that is (≥ 50 orgs/s)", f"{_IMPORTED / took:.1f} orgs/s")


def read_json(stream: IO[str]) -> str:
    """The lines of an object that is printed over many."""
    lines = []
    for line in stream:
        lines.append(line)
        if line.startswith("}"):
            break
    return "".join(lines)


def write_csv(file: Path, orgs: Sequence[dict]) -> None:
    columns = ("alias", "client_id", "client_secret", "refresh_token", "login_url", "instance_url", "trust_host")
    with file.open("w", newline="") as stream:
        os.fchmod(stream.fileno(), 0o600)
        writer = csv.DictWriter(stream, columns, extrasaction="ignore")
        writer.writeheader()
        for org in orgs:
            writer.writerow(org | {"trust_host": ";".join(org["trust_hosts"])})


def measure_calls(many: Path, few: Path) -> None:
    """A call of one principal in the large store, against one in the small store, in turns."""
    ratios: dict[str, list[float]] = {"one caller": [], f"{CALLERS} in flight": []}
    for _ in range(_ROUNDS):
        costs = [cost_of_call(home) for home in (few, many)]
        for name, small, large in zip(ratios, *costs, strict=True):
            ratios[name].append(large / small)
    for name, each in ratios.items():
        tell(
            f"CPU of a call by that in the small store, {name} (≤ 1.1)",
            f"{statistics.median(each):.2f} ({min(each):.2f}–{max(each):.2f})",
        )


def cost_of_call(home: Path, calls: int = 600) -> tuple[float, float]:
    """Microseconds of the processor for a list of ten contacts, with one caller and with many."""
    serve = [*homes.script(sys.executable), "serve", "--principal", "principal-7"]
    with Server(serve, homes.environment(home), home) as server:
        server.begin()
        drive([call(server, LIST, 60)])
        costs = []
        for callers in (1, CALLERS):
            before = server.cpu_us()
            drive([call(server, LIST, calls // callers) for _ in range(callers)])
            costs.append((server.cpu_us() - before) / (calls // callers * callers))
    return costs[0], costs[1]


PARTS: dict[str, Callable[[Path, Path], None]] = {
    "start": measure_start, "change": measure_change, "lists": measure_lists, "calls": measure_calls,
    "import": measure_import, "commands": measure_commands,
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description=__doc__)
    parser.add_argument("--orgs", type=int, default=10_000)
    parser.add_argument("--principals", type=int, default=1_000)
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orgserver-bench-") as folder, upstream(packed=True) as ports:
        own = Participant("orgserver", sys.executable)
        many, few = (own.make_home(Path(folder) / name, fast=ports[0], slow=ports[1]) for name in ("many", "few"))
        for home, orgs, principals in ((few, 8, 8), (many, options.orgs - 2, options.principals)):
            asyncio.run(stores.add_fleet(home, orgs, principals))
        tell("orgs, principals", f"{options.orgs:,}, {options.principals:,}; load {os.getloadavg()[0]:.1f}")
        for part in options.only or PARTS:
            PARTS[part](many, few)


if __name__ == "__main__":
    main()

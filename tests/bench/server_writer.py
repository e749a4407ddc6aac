"""The audited append on a PostgreSQL server: `python -m tests.bench.writer --store postgresql [--disk FOLDER]`.

A call is both of its rows, as in ``writer``. Besides: what it costs in CPU here and at the server, how long a group
waits for the right to write and how long it holds it; and from these what replicas would come to (``replicas``).
The server is one that has been in use: files for its log are there, of which a new one makes one every 16 MB, and
everybody waits while it does.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.store.transaction import DriverConnection
from tests.bench import writer
from tests.bench.replicas import Costs, simulate
from tests.faults.store_places import MEMORY, own_server, place_of
from tests.store_server import StoreServer

WHOLE_CALL = 0.000_492
"""CPU of a call over HTTP with 64 in flight and a store in a file (docs/performance.md)."""
LOADS = ((1, 64, False), (4, 16, False), (4, 16, True), (4, 64, False))
"""Processes, callers of each, and whether they use the server's socket."""
LOG_FILES = 30
_TICK = os.sysconf("SC_CLK_TCK")


class Watch:
    """How long each group waited for the right to write, and held it."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.held: list[float] = []
        self.changes: list[int] = []

    def watch(self, database: Any) -> None:
        """Look on, from now on."""
        own = database._writer
        begin, commit, run = own.lock_waits.begin, DriverConnection.commit, own._pending.take_up
        since = [0.0]

        def timed_begin(driver: DriverConnection) -> int:
            asked = time.perf_counter()
            now: int = begin(driver)
            since[0] = time.perf_counter()
            self.waited.append(since[0] - asked)
            return now

        def timed_commit(driver: DriverConnection) -> None:
            commit(driver)
            self.held.append(time.perf_counter() - since[0])

        def counted(writes: Any) -> Any:
            live = run(writes)
            self.changes.append(len(live))
            return live

        own.lock_waits.begin, own._pending.take_up = timed_begin, counted
        DriverConnection.commit = timed_commit  # type: ignore[method-assign]


async def work(settings: dict[str, Any], callers: int, seconds: float) -> None:
    """One process of a load, told to begin by its input."""
    watch = Watch()
    async with open_app(read_settings(settings, {})) as app:
        await writer.call(app.store)
        watch.watch(app.store.database)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        cpu = time.process_time()
        took, together = await writer.calls(app.store, callers, seconds)
        cpu = time.process_time() - cpu
    print(json.dumps({"took": took, "seconds": together, "cpu": cpu} | vars(watch)))


async def load(settings: dict[str, Any], processes: int, callers: int, seconds: float) -> list[dict[str, Any]]:
    """So many processes with so many callers each, at once; what each tells."""
    told = json.dumps([settings | {"home": str(settings["home"])}, callers, seconds])
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.server_writer", told,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 27,
        )
        for _ in range(processes)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        await worker.stdout.readline()
    replies = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    return [json.loads(out) for out, _ in replies]


def read_cpu(server: StoreServer) -> float:
    """Seconds of CPU that a server and its sessions have used, those that ended included."""
    assert server.pid is not None
    pids = {str(server.pid)}
    for task in Path(f"/proc/{server.pid}/task").iterdir():
        pids.update((task / "children").read_text("ascii").split())
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        total += sum(map(int, fields[11:15] if pid == str(server.pid) else fields[11:13]))
    return total / _TICK


async def measure(folder: Path, seconds: float, disk: Path | None) -> None:
    """Print all of it, the server's data in memory or in a folder on a disk."""
    costs = []
    async with own_server(above=disk or MEMORY) as server:
        await asyncio.to_thread(_use, server)
        for processes, callers, by_socket in LOADS:
            async with place_of(server, by_socket=by_socket) as place:
                name = f"{processes} processes, {callers} callers each{', by socket' if by_socket else ''}"
                settings = place.settings(folder / str(len(costs)), log_level="error")
                async with open_app(read_settings(settings, {})):
                    pass  # made before they meet there
                before = read_cpu(server)
                found = await load(settings, processes, callers, seconds)
                costs.append(_tell(name, found, read_cpu(server) - before))
    _simulate(costs[0])


def _use(server: StoreServer) -> None:
    """Have a server's log go through so many files that it has enough of them to write to again."""
    server.ask("postgres", f"ALTER SYSTEM SET min_wal_size = '{16 * LOG_FILES}MB'")
    server.ask("postgres", "SELECT pg_reload_conf()")
    for _ in range(LOG_FILES):
        server.ask("postgres", "SELECT pg_logical_emit_message(true, 'bench', 'a file is not left empty')")
        server.ask("postgres", "SELECT pg_switch_wal()")
    server.ask("postgres", "CHECKPOINT")


def _simulate(costs: Costs) -> None:
    for name, call in (("the audited append alone", costs.call), ("whole calls over HTTP", costs.call + WHOLE_CALL)):
        print(f"simulated, a core for each replica, 64 callers each, {name} ({call * 1e6:.0f} µs of CPU a call):")
        for line in simulate(Costs(call, costs.group, costs.change, costs.server)):
            print(f"  {line}")


def _tell(name: str, found: list[dict[str, Any]], server_cpu: float) -> Costs:
    took = [each for one in found for each in one["took"]]
    waited = [each for one in found for each in one["waited"]]
    held = [each for one in found for each in one["held"]]
    changes = [each for one in found for each in one["changes"]]
    calls = len(took)
    client, at_server = sum(one["cpu"] for one in found) / calls, server_cpu / calls
    writer.tell(name, f"{calls / max(one['seconds'] for one in found):,.0f} calls/s (load {os.getloadavg()[0]:.1f})")
    writer.tell(f"{name}: p50, p99, worst", ", ".join(writer.at(took, share) for share in (0.5, 0.99, 1)))
    writer.tell(f"{name}: CPU a call here, at the server", f"{client * 1e6:.0f} µs, {at_server * 1e6:.0f} µs")
    writer.tell(f"{name}: changes a group", f"{statistics.fmean(changes):.1f}")
    writer.tell(f"{name}: wait for the store, p50, p99", f"{writer.at(waited, 0.5)}, {writer.at(waited, 0.99)}")
    writer.tell(f"{name}: holding it, p50, p99", f"{writer.at(held, 0.5)}, {writer.at(held, 0.99)}")
    group, change = _fit(changes, held)
    writer.tell(f"{name}: holding it, a group and each change", f"{group * 1e6:.0f} µs + {change * 1e6:.1f} µs")
    return Costs(client, group, change, at_server)


def _fit(changes: list[int], held: list[float]) -> tuple[float, float]:
    """What a group costs and what each change adds, by the quicker quarter of each size: the rest waited for a core."""
    by_size: defaultdict[int, list[float]] = defaultdict(list)
    for size, seconds in zip(changes, held, strict=False):
        by_size[size].append(seconds)
    points = [(size, sorted(each)[len(each) // 4]) for size, each in by_size.items() for _ in each]
    if len(by_size) < 2:
        return points[0][1], 0.0
    slope, base = statistics.linear_regression(*zip(*points, strict=True))
    return max(base, 0.0), max(slope, 0.0)


if __name__ == "__main__":
    asyncio.run(work(*json.loads(sys.argv[1])))

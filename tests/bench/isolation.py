"""`python -m tests.bench.isolation`: what one org's trouble, or one principal's flood, is to everybody else.

A server on HTTP, some callers at an even pace in a healthy org, and in turns calm and trouble: an org that hangs, drips,
floods or answers bombs, called by principals of its own, or a principal that floods the healthy org. What is compared
is the p99 of the paced callers, of each trouble with the calm before it; the difference is the median of all rounds.
All of it takes eleven minutes, and ``--picture FILE`` draws four minutes of it. Exit 1 where one is above 10 ms. The callers that make trouble, and the troubled org, give way to everybody else.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.services.people.requests import KeyChanges
from tests.bench import homes
from tests.bench.figures import markdown
from tests.bench.http_load import Paced, cpu_seconds, make_request, wait_for_answer
from tests.bench.timeline import Timeline
from tests.bench.world import upstream
from tests.people import OPERATOR, principal_changes

MOST_MS = 10.0
CALLERS, PER_SECOND = 5, 10.0
"""Who is measured: so many principals, and how often each calls."""
TROUBLEMAKERS, CONNECTIONS = 2, 16
"""Principals that call the troubled org, and connections of each: as many as may be in flight."""
FLOOD_CONNECTIONS = 48
SETTLING = 1.0
"""Seconds after each change that are not looked at."""
_LIST = "salesforce_list_contacts"
TROUBLES = {
    "hangs": "hang",
    "drips": "drip",
    "floods": "flood",
    "answers bombs": "packed bomb",
    "answers packed blanks": "packed blanks",
    "answers as many tiny records as pass": "as many tiny records as pass",
    "answers as many lists as pass": "as many empty lists as pass",
    "answers 2,000 records of 100 fields": "2,000 records of 100 fields",
}
"""What the troubled org does, and the name that has it do so."""
FLOOD = "a principal floods"
QUICK = ("hangs", "floods", "answers as many tiny records as pass", FLOOD)


@dataclass
class Trouble:
    """One kind's rounds."""

    calm: list[float] = field(default_factory=list)
    """The p99 of each, in ms."""
    trouble: list[float] = field(default_factory=list)
    cores: list[tuple[float, float]] = field(default_factory=list)
    """How many the server kept busy, in calm and in trouble."""
    answers: Counter[str] = field(default_factory=Counter)
    """Of those who make the trouble."""
    calls: int = 0
    """Of the others."""
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def difference(self) -> float:
        """By how much the p99 is higher; negative where it is lower."""
        return statistics.median(after - before for before, after in zip(self.calm, self.trouble, strict=True))


@dataclass
class World:
    """A server with its callers."""

    port: int
    pid: int
    keys: dict[str, str]
    paced: Paced
    loader: asyncio.subprocess.Process

    async def begin(self, kind: str) -> None:
        """Let a trouble begin."""
        if kind == FLOOD:
            requests = [self._request("flood", "healthy", {"limit": 10})] * FLOOD_CONNECTIONS
        else:
            names = [f"trouble-{number}" for number in range(TROUBLEMAKERS)] * CONNECTIONS
            soql = f"SELECT Id FROM Contact WHERE Name = '{TROUBLES[kind]}'"
            requests = [self._request(name, "troubled", {"soql": soql}, "salesforce_query") for name in names]
        await self._tell(json.dumps({"port": self.port, "requests": [each.decode() for each in requests]}))

    async def end(self) -> Counter[str]:
        """End all troubles; what the callers were answered."""
        await self._tell("")
        assert self.loader.stdout is not None
        return Counter(json.loads(await self.loader.stdout.readline()))

    async def _tell(self, line: str) -> None:
        assert self.loader.stdin is not None
        self.loader.stdin.write(f"{line}\n".encode())
        await self.loader.stdin.drain()

    def _request(self, name: str, org: str, arguments: dict[str, object], tool: str = _LIST) -> bytes:
        return make_request(self.port, self.keys[name], tool, {"org": org} | arguments)


@asynccontextmanager
async def open_world(per_second: float) -> AsyncIterator[World]:
    """Everything, in processes of its own, until the block ends."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="orgserver-bench-"))
        home = Path(folder) / "home"
        healthy, _ = stack.enter_context(upstream(packed=True))
        troubled = stack.enter_context(_troubled_org())
        homes.register(home, healthy, "healthy")
        homes.register(home, troubled, "troubled")
        keys = await _make_keys(home)
        port, pid = stack.enter_context(_server(home))
        requests = [
            make_request(port, keys[f"caller-{number}"], _LIST, {"org": "healthy", "limit": 10})
            for number in range(CALLERS)
        ]
        await wait_for_answer(port, requests[0])
        loader = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.http_load", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        world = World(port, pid, keys, Paced(port, requests, per_second), loader)
        calling = asyncio.create_task(world.paced.run())
        calling.add_done_callback(_say_why)
        try:
            yield world
        finally:
            calling.cancel()
            assert loader.stdin is not None
            loader.stdin.close()
            await loader.wait()
            with suppress(asyncio.CancelledError):
                await calling


def _say_why(calling: asyncio.Task[None]) -> None:
    if not calling.cancelled() and (error := calling.exception()):
        print(f"the callers ended: {error!r}", file=sys.stderr)


@contextmanager
def _troubled_org() -> Iterator[int]:
    command = ["nice", "-n", "15", sys.executable, "-m", "tests.faults.hostile"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


@contextmanager
def _server(home: Path) -> Iterator[tuple[int, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = homes.Participant.of("orgserver", sys.executable).command("serve", "--http", f"127.0.0.1:{port}")
    environment = homes.environment(home) | {"ORGSERVER_LOG_LEVEL": "error"}
    with (
        (home / "server.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=log) as process,
    ):
        try:
            yield port, process.pid
        finally:
            process.terminate()


async def _make_keys(home: Path) -> dict[str, str]:
    """Principals with a key each."""
    names = [f"caller-{number}" for number in range(CALLERS)] + [f"trouble-{n}" for n in range(TROUBLEMAKERS)]
    keys = {}
    async with open_app(read_settings({"home": home}, {})) as app:
        for name in [*names, "flood"]:
            changes = principal_changes("*:read", keys=KeyChanges(new=True))
            key = (await app.people.principals.add(OPERATOR, name, changes)).key
            assert key is not None
            keys[name] = key.text.reveal()
    return keys


def p99(times: Sequence[float]) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[98]


async def measure(kind: str, rounds: int, seconds: float, per_second: float) -> Trouble:
    """Calm and trouble in turns, round by round, with a server of its own."""
    trouble = Trouble()
    async with open_world(per_second) as world:
        for number in range(rounds):
            print(f"\r{kind}: round {number + 1} of {rounds}", end=" " * 20, file=sys.stderr, flush=True)
            calm, cores_calm = await _measure(world, seconds)
            await world.begin(kind)
            beside, cores = await _measure(world, seconds)
            trouble.calm.append(calm)
            trouble.trouble.append(beside)
            trouble.cores.append((cores_calm, cores))
            trouble.answers += await world.end()
        trouble.calls, trouble.failures = len(world.paced.times), world.paced.failures
    return trouble


async def _measure(world: World, seconds: float) -> tuple[float, float]:
    """The p99 of the others, and how many cores the server kept busy."""
    await asyncio.sleep(SETTLING)
    began, worked = time.monotonic(), cpu_seconds(world.pid)
    await asyncio.sleep(seconds)
    end, cores = time.monotonic(), (cpu_seconds(world.pid) - worked) / seconds
    return p99(await world.paced.between(began, end)), cores


def table(troubles: dict[str, Trouble]) -> str:
    """What was measured, as Markdown."""
    head = ["one org …", "p99 calm", "p99 beside it", "difference (range)", "must", "cores busy", "its answers"]
    rows = [head]
    for kind, each in troubles.items():
        differences = [after - before for before, after in zip(each.calm, each.trouble, strict=True)]
        answers = ", ".join(f"{count} × {what}" for what, count in each.answers.most_common(4))
        rows.append(
            [
                kind,
                f"{statistics.median(each.calm):.1f} ms",
                f"{statistics.median(each.trouble):.1f} ms",
                f"{each.difference:+.1f} ms ({min(differences):+.1f} to {max(differences):+.1f})",
                f"≤ {MOST_MS:g} {'met' if each.difference <= MOST_MS else 'NOT MET'}",
                " → ".join(f"{statistics.median(cores):.2f}" for cores in zip(*each.cores, strict=True)),
                answers,
            ]
        )
    return markdown(rows)


async def draw(file: Path, minutes: float, per_second: float) -> None:
    """Calm, each trouble, and all of them together with the flood, for equal times; drawn."""
    stages: list[tuple[str, list[str]]] = [("calm", [])]
    stages += [(f"an org {kind}", [kind]) for kind in ("answers bombs", "floods", "drips", "hangs")]
    wide = "answers as many tiny records as pass"
    stages += [("an org answers wide JSON", [wide]), (FLOOD, [FLOOD]), ("both", [wide, FLOOD])]
    async with open_world(per_second) as world:
        timeline = Timeline(time.monotonic())
        for title, kinds in stages:
            print(f"\r{title:<50}", end="", file=sys.stderr, flush=True)
            timeline.stages.append((time.monotonic(), title))
            for kind in kinds:
                await world.begin(kind)
            await asyncio.sleep(minutes * 60 / len(stages))
            if kinds:
                await world.end()
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)
        file.write_text(timeline.draw(world.paced.times), "utf-8")


async def main() -> int:
    """Measure or draw."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.isolation", description=__doc__)
    kinds = (*TROUBLES, FLOOD)
    parser.add_argument("--only", action="append", choices=kinds, metavar="TROUBLE", help="; ".join(kinds))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each calm and each trouble")
    parser.add_argument("--per-second", type=float, default=PER_SECOND, help="calls of each of the others")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw an SVG of four minutes instead")
    parser.add_argument("--minutes", type=float, default=4.0, help="of the picture")
    parser.add_argument("--quick", action="store_true", help="one short round of a few troubles, in two minutes")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.only = 1, 3.0, options.only or list(QUICK)
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}; load {load:.1f}", end="\n\n", flush=True)
    if options.picture:
        await draw(options.picture, options.minutes, options.per_second)
        return 0
    troubles: dict[str, Trouble] = {}
    for kind in options.only or kinds:
        troubles[kind] = await measure(kind, options.rounds, options.seconds, options.per_second)
        print(f"\r{kind}: {troubles[kind].difference:+.1f} ms{' ' * 30}", file=sys.stderr, flush=True)
    print(table(troubles), end="\n\n")
    calls, failures = sum(each.calls for each in troubles.values()), Counter[str]()
    for each in troubles.values():
        failures += each.failures
    print(f"{calls:,} calls at an even pace, not answered: {dict(failures) or 'none'}")
    return int(bool(failures) or any(each.difference > MOST_MS for each in troubles.values()))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

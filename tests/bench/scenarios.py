"""What is measured, scenario by scenario: each alternation measures everybody once, one after the other."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import homes, over_http
from tests.bench.client import call, drive
from tests.bench.figures import Figure
from tests.bench.homes import Participant
from tests.bench.world import CALLERS, CREATE, ECHO, LIST, REFUSED, SLOW, Burst, Contender, World

PROCESSES = 4
SLOW_CALLS = 8
"""How many calls of the slow org are in flight beside the caller of the quick one."""


def alternations(world: World, scenario: str) -> Iterator[int]:
    """Each alternation; who waits sees that it goes on."""
    for number in range(world.sizes.alternations):
        print(f"\r{scenario}: {number + 1} of {world.sizes.alternations}  ", end="", file=sys.stderr, flush=True)
        yield number
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)


def add_burst(figures: Mapping[str, Figure], participant: str, base: Burst, own: Burst) -> None:
    """One alternation's bursts, to the figures that are named after what they measure."""
    for name, figure in figures.items():
        figure.add(participant, getattr(base, name), getattr(own, name))


def measure_calls(
    world: World, scenario: str, figures: Mapping[str, Figure], params: Mapping[str, Any], *, is_error: bool = False
) -> Iterator[dict[str, Burst]]:
    """Echo, everybody, echo, everybody; the bursts of each alternation."""
    contenders = {each.name: world.contender(each, params, is_error=is_error) for each in world.participants}
    for _ in alternations(world, scenario):
        echo = world.burst(world.echo)
        bursts = {name: world.burst(contender) for name, contender in contenders.items()}
        for name, burst in bursts.items():
            add_burst(figures, name, echo, burst)
        yield bursts


def measure_list(world: World) -> list[Figure]:
    """A list of ten contacts, against the echo and against the floor."""
    figures = {
        "p50_ms": Figure("list of 10: p50", "ms", "echo", must=2.6, aim=2.2),
        "p99_ms": Figure("list of 10: p99", "ms", "echo"),
        "calls_s_alone": Figure("list of 10: one caller", "calls/s", "echo", is_least=True),
        "calls_s": Figure("list of 10: 64 in flight", "calls/s", "echo", must=1.5, aim=1.8, is_least=True),
        "cpu_us_alone": Figure("list of 10: CPU a call, one caller", "µs", "echo"),
        "cpu_us": Figure("list of 10: CPU a call, 64 in flight", "µs", "echo"),
        "rss_mb": Figure(f"memory after {calls_of(world):,} calls", "MB", "echo", aim=1.6),
    }
    by_floor = Figure("list of 10: p50 by the floor", "ms", "floor", aim=1.8)
    for bursts in measure_calls(world, "list", figures, LIST):
        floor = world.burst(world.floor())
        for name, burst in bursts.items():
            by_floor.add(name, floor.p50_ms, burst.p50_ms)
    first, *rest = figures.values()
    return [first, by_floor, *rest]


def calls_of(world: World) -> int:
    """How many calls a server has had when its memory is measured."""
    sizes = world.sizes
    return sizes.warm_up + sizes.alone + max(sizes.together // CALLERS, 1) * CALLERS


def measure_create(world: World) -> list[Figure]:
    """A contact is created."""
    figures = {
        "p50_ms": Figure("create: p50", "ms", "echo", aim=2.4),
        "p99_ms": Figure("create: p99", "ms", "echo"),
        "calls_s": Figure("create: 64 in flight", "calls/s", "echo", is_least=True),
        "cpu_us_alone": Figure("create: CPU a call, one caller", "µs", "echo"),
        "cpu_us": Figure("create: CPU a call, 64 in flight", "µs", "echo"),
    }
    for _ in measure_calls(world, "create", figures, CREATE):
        pass
    return list(figures.values())


def measure_refused(world: World) -> list[Figure]:
    """A call with an argument that no tool has: on record, and refused before anything is sent."""
    figures = {
        "p50_ms": Figure("refused before sending: p50", "ms", "echo", aim=1.5),
        "calls_s": Figure("refused before sending: 64 in flight", "calls/s", "echo", is_least=True),
        "cpu_us_alone": Figure("refused before sending: CPU a call, one caller", "µs", "echo"),
    }
    for _ in measure_calls(world, "refused", figures, REFUSED, is_error=True):
        pass
    return list(figures.values())


def measure_slow(world: World) -> list[Figure]:
    """One caller of a quick org, alone and while eight calls of an org wait that takes 200 ms."""
    p50 = Figure(f"quick org beside {SLOW_CALLS} calls of a 200 ms org: p50", "ms", "the same alone")
    p99 = Figure(f"quick org beside {SLOW_CALLS} calls of a 200 ms org: p99", "ms", "the same alone")
    contenders = {each.name: world.contender(each, LIST) for each in world.participants}
    for _ in alternations(world, "slow"):
        for name, contender in contenders.items():
            with contender.start(world.folder) as server:
                server.begin()
                drive([call(server, LIST, world.sizes.warm_up), call(server, SLOW, 1)])
                alone = call(server, LIST, world.sizes.alone)
                drive([alone])
                beside = call(server, LIST, world.sizes.alone)
                drive([beside, *(call(server, SLOW, None) for _ in range(SLOW_CALLS))])
            p50.add(name, statistics.median(alone.times) * 1_000, statistics.median(beside.times) * 1_000)
            p99.add(name, _p99(alone.times) * 1_000, _p99(beside.times) * 1_000)
    return [p50, p99]


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def measure_orgs(world: World) -> list[Figure]:
    """The same list from a store of ten orgs and from one of 10,000."""
    count, base = world.sizes.orgs, "10 orgs"
    figures = {
        "p50_ms": Figure(f"list with {count:,} orgs: p50", "ms", base, aim=1.1),
        "cpu_us_alone": Figure(f"list with {count:,} orgs: CPU a call, one caller", "µs", base, aim=1.1),
        "cpu_us": Figure(f"list with {count:,} orgs: CPU a call, 64 in flight", "µs", base, aim=1.1),
        "rss_mb": Figure(f"list with {count:,} orgs: memory", "MB", base),
    }
    contenders = {}
    for participant in world.participants:
        few, many = world.home(participant, "10-orgs"), world.home(participant, "many-orgs")
        participant.fill("orgs", few, 8)
        participant.fill("orgs", many, count - 2)
        contenders[participant.name] = [world.contender(participant, LIST, home=home) for home in (few, many)]
    for _ in alternations(world, "orgs"):
        for name, (few, many) in contenders.items():
            add_burst(figures, name, world.burst(few), world.burst(many))
    return list(figures.values())


def measure_processes(world: World) -> list[Figure]:
    """Four servers on one store, 64 calls in flight in all of them, against one echo with 64."""
    figure = Figure(f"{PROCESSES} processes on one store: 64 in flight", "calls/s", "echo", aim=1.8, is_least=True)
    of_one = Figure(f"{PROCESSES} processes by one process", "calls/s", "one process", is_least=True)
    for _ in alternations(world, "processes"):
        echo = calls_s(world, world.echo, 1)
        for participant in world.participants:
            contender = world.contender(participant, LIST)
            one, four = calls_s(world, contender, 1), calls_s(world, contender, PROCESSES)
            figure.add(participant.name, echo, four)
            of_one.add(participant.name, one, four)
    return [figure, of_one]


def calls_s(world: World, contender: Contender, processes: int) -> float:
    """Calls a second with 64 in flight, shared among so many servers."""
    with ExitStack() as stack:
        servers = [stack.enter_context(contender.start(world.folder)) for _ in range(processes)]
        for server in servers:
            server.begin()
        drive([call(server, contender.params, max(world.sizes.warm_up // 2, 1)) for server in servers])
        each = max(2 * world.sizes.together // CALLERS, 1)
        callers = [call(servers[number % processes], contender.params, each) for number in range(CALLERS)]
        return CALLERS * each / drive(callers)


def measure_http(world: World) -> list[Figure]:
    """A list of ten contacts over HTTP, with keys, grants, policy and audit, against the SDK's own echo over HTTP."""
    figures = {version: http_figures(version) for version in ("2025-11-25", over_http.MODERN)}
    keys = {}
    for participant in world.participants:
        home = world.home(participant, "http")
        keys[participant] = over_http.add_principals(participant, home)
    for _ in alternations(world, "http"):
        for version, of_version in figures.items():
            echo = world.burst(over_http.make_echo(ECHO, version, CALLERS))
            for participant in world.participants:
                home = world.home(participant, "http")
                own = over_http.make_contender(participant, home, keys[participant], LIST, version, CALLERS)
                add_burst(of_version, participant.name, echo, world.burst(own))
    return [figure for of_version in figures.values() for figure in of_version.values()]


def http_figures(version: str) -> dict[str, Figure]:
    """The figures of one version of the protocol."""
    return {
        "p50_ms": Figure(f"HTTP {version}: p50", "ms", "echo", must=2.5),
        "p99_ms": Figure(f"HTTP {version}: p99", "ms", "echo"),
        "calls_s": Figure(f"HTTP {version}: 64 connections", "calls/s", "echo", must=1.0, is_least=True),
        "cpu_us_alone": Figure(f"HTTP {version}: CPU a call, one caller", "µs", "echo"),
        "cpu_us": Figure(f"HTTP {version}: CPU a call, 64 connections", "µs", "echo"),
        "rss_mb": Figure(f"HTTP {version}: memory", "MB", "echo"),
    }


def measure_cold(world: World) -> list[Figure]:
    """From the start of the process to the answer to the first ``tools/list``."""
    figure = Figure("cold start to tools/list", "ms", "echo", aim=1.0)
    size = Figure("tools/list", "bytes", "", aim=14_336)
    contenders = {each.name: world.contender(each, LIST) for each in world.participants}
    for each in (world.echo, *contenders.values()):
        cold_ms(world, each)  # its modules are compiled, and the disk's pages are in memory
    for _ in alternations(world, "cold"):
        echo, _ = cold_ms(world, world.echo)
        for name, contender in contenders.items():
            own, length = cold_ms(world, contender)
            figure.add(name, echo, own)
            size.add(name, length, length)
    return [figure, size]


def cold_ms(world: World, contender: Contender) -> tuple[float, int]:
    """How long one start takes, and how long its list of tools is."""
    began = time.perf_counter()
    with contender.start(world.folder) as server:
        line = server.begin()
        took = (time.perf_counter() - began) * 1_000
    result = json.dumps(json.loads(line)["result"], separators=(",", ":"), ensure_ascii=False)
    return took, len(result.encode())


def measure_floor(world: World) -> list[Figure]:
    """The floor by its parts: what the pipes cost alone, and what the rows and the exchange add."""
    names = {"": "pipes alone", "rows": "pipes and two durable rows", "exchange": "pipes and one exchange"}
    names["rows,exchange"] = "floor: pipes, rows and exchange"
    figures = {parts: Figure(name, "ms", "echo") for parts, name in names.items()}
    cpu = {parts: Figure(f"{name}: CPU a call", "µs", "echo") for parts, name in names.items()}
    for _ in alternations(world, "floor"):
        echo = world.burst(world.echo)
        for parts, figure in figures.items():
            own = world.burst(world.floor(parts))
            for participant in world.participants:
                figure.add(participant.name, echo.p50_ms, own.p50_ms)
                cpu[parts].add(participant.name, echo.cpu_us_alone, own.cpu_us_alone)
    return [*figures.values(), *cpu.values()]


def measure_verify(world: World) -> list[Figure]:
    """What ``audit verify`` goes through in a second: a large store's time without a small one's."""
    figure = Figure("audit verify", "entries/s", "", aim=100_000, is_least=True)
    count = world.sizes.entries
    few_count = count // 100
    stores: dict[Participant, tuple[Path, Path]] = {}
    for participant in world.participants:
        few, many = world.home(participant, "few-entries"), world.home(participant, "many-entries")
        participant.fill("entries", few, few_count)
        participant.fill("entries", many, count)
        stores[participant] = (few, many)
    for _ in alternations(world, "verify"):
        for participant, (few, many) in stores.items():
            added = verify_seconds(participant, many) - verify_seconds(participant, few)
            rate = (count - few_count) / max(added, 1e-3)
            figure.add(participant.name, rate, rate)
    return [figure]


def verify_seconds(participant: Participant, home: Path) -> float:
    """How long the command takes."""
    began = time.perf_counter()
    subprocess.run(participant.command("audit", "verify"), env=homes.environment(home), check=True, capture_output=True)
    return time.perf_counter() - began


SCENARIOS: dict[str, Callable[[World], list[Figure]]] = {
    "list": measure_list,
    "create": measure_create,
    "refused": measure_refused,
    "slow": measure_slow,
    "orgs": measure_orgs,
    "processes": measure_processes,
    "cold": measure_cold,
    "floor": measure_floor,
    "http": measure_http,
    "verify": measure_verify,
}

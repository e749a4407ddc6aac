"""`python -m tests.bench.profile`: where the processor's time of a tool call goes, function by function.

A real server process, profiled in all its threads by the processor time of each thread, so that waiting counts nothing.
It is run twice, with few calls and with many, and only the difference is shown: neither the start nor the end is in it.
Profiling makes calls of Python functions dearer than they are; how often they are called is exact.
"""

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the profiled process has no such modules
    from tests.bench.homes import Participant
    from tests.bench.over_http import HttpContender
    from tests.bench.world import Contender, World

Functions = dict[str, tuple[int, float]]
"""By name: how often it was called, and the seconds that were its own."""
_NOT_PYTHON = "~"


def profile_threads(action: Callable[[], object], file: Path) -> None:
    """Run an action and write what its threads did."""
    profiles: list[cProfile.Profile] = []

    def start(*_: object) -> None:
        profile = cProfile.Profile(time.thread_time)
        profiles.append(profile)
        profile.enable()

    threading.setprofile(start)
    start()
    try:
        action()
    finally:
        threading.setprofile(None)
        profiles[0].disable()
        write(profiles, file)


def write(profiles: Sequence[cProfile.Profile], file: Path) -> None:
    """All threads' functions together; a daemon thread may still be at work."""
    functions: dict[str, list[float]] = {}
    for profile in profiles:
        profile.create_stats()
        for (path, line, name), (_, calls, own, *_rest) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]  # not in its stub
            entry = functions.setdefault(f"{path}:{line}:{name}", [0, 0.0])
            entry[0] += calls
            entry[1] += own
    file.write_text(json.dumps(functions))


def serve(file: str, address: str | None) -> None:
    """The server, in this process: over HTTP where there is an address."""
    from orgserver.__main__ import main as orgserver

    sys.argv = ["orgserver", "serve", *(["--http", address] if address else [])]

    def run() -> None:
        try:
            orgserver()
        except SystemExit:
            return

    profile_threads(run, Path(file))


@dataclass(frozen=True)
class Plain:
    """A call without profiling: its CPU time, and how much of that was the kernel's."""

    cpu_us: float
    kernel_us: float


def measure(
    python: str, tool: str, *, calls: int, callers: int, packed: bool, version: str | None
) -> tuple[Functions, Plain]:
    """What so many calls cost, by function, and what one costs without profiling; over HTTP in a version of MCP."""
    from tests.bench.client import drive
    from tests.bench.homes import Participant
    from tests.bench.world import CREATE, LIST, REFUSED, Sizes, World, upstream

    params = {"list": LIST, "create": CREATE, "refused": REFUSED}[tool]
    with upstream(packed=packed) as (fast, slow), tempfile.TemporaryDirectory(prefix="orgserver-profile-") as folder:
        participant = Participant.of("orgserver", python)
        world = World(Sizes(), Path(folder), [participant], packed, fast, slow)
        file = Path(folder) / "functions.json"
        command = [python, "-P", __file__, "--serve", str(file)]
        profiled, bare = make_contenders(world, participant, command, params, callers, version)

        def run(contender: "Contender | HttpContender", each: int) -> Plain:
            with contender.start(world.folder) as server:
                server.begin()
                drive([contender.caller(server, 0, 50)])
                cpu, kernel = server.cpu_us(), server.kernel_us()
                drive([contender.caller(server, number, each) for number in range(callers)])
                made = each * callers
                return Plain((server.cpu_us() - cpu) / made, (server.kernel_us() - kernel) / made)

        def functions(each: int) -> Functions:
            run(profiled, each)
            return {name: (count, own) for name, (count, own) in json.loads(file.read_text()).items()}

        few, many = 1, calls // callers + 1
        plain = run(bare, many)
        return difference(functions(few), functions(many), (many - few) * callers), plain


def make_contenders(
    world: "World",
    participant: "Participant",
    profiled: list[str],
    params: dict[str, Any],
    callers: int,
    version: str | None,
) -> "tuple[Contender | HttpContender, Contender | HttpContender]":
    """The server with a profiler, and the same without one."""
    from tests.bench import over_http
    from tests.bench.world import REFUSED, Contender

    is_error = params is REFUSED
    if version is None:
        home = world.home(participant)
        bare = world.contender(participant, params, is_error=is_error)
        return Contender(profiled, params, home, is_error), bare
    home = world.home(participant, "http")
    keys = over_http.add_principals(participant, home)
    over = replace(over_http.make_contender(participant, home, keys, params, version, callers), is_error=is_error)
    return replace(over, command=[*profiled, "--http", "127.0.0.1:"]), over


def difference(few: Functions, many: Functions, calls: int) -> Functions:
    """What the calls that there were more did, for one of them."""
    functions = {}
    for name, (count, own) in many.items():
        count_before, own_before = few.get(name, (0, 0.0))
        if count > count_before:
            functions[name] = ((count - count_before) / calls, max(own - own_before, 0.0) / calls * 1e6)
    return functions  # type: ignore[return-value]  # counts of one call are fractions


def shorten(name: str) -> str:
    """A function's name with the end of its file's path."""
    path, line, function = name.split(":", 2)
    if path == _NOT_PYTHON:
        return function
    _, _, inside = path.rpartition("site-packages/")
    short = inside if "site-packages/" in path else "/".join(Path(path).parts[-3:])
    return f"{short}:{line} {function}"


def package(name: str) -> str:
    """The package, or the room of orgserver, that a function is in."""
    path = name.partition(":")[0]
    if path == _NOT_PYTHON:
        return "built in"
    parts = Path(path).parts
    if "orgserver" in parts and "site-packages" not in parts:
        rest = parts[len(parts) - 1 - parts[::-1].index("orgserver") :]
        return "/".join(rest[:2]).removesuffix(".py")
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return "python" if path.startswith((sys.base_prefix, "<frozen")) else parts[0]


def show(functions: Functions, plain: Plain, most: int) -> None:
    """The functions with the most own time, and their packages."""
    python_calls = sum(count for name, (count, _) in functions.items() if not name.startswith(_NOT_PYTHON))
    built_in = sum(count for name, (count, _) in functions.items() if name.startswith(_NOT_PYTHON))
    total = sum(own for _, own in functions.values())
    print(f"a call: {python_calls:,.0f} calls of Python functions, {built_in:,.0f} of built-in ones")
    print(f"a call: {plain.cpu_us:,.0f} µs of CPU without profiling, {total:,.0f} µs with it")
    print(f"        {plain.kernel_us:,.0f} µs of it are the kernel's: syncing files, sockets, waking threads\n")
    by_package: dict[str, Any] = {"µs": Counter(), "calls": Counter()}
    for name, (count, own) in functions.items():
        by_package["µs"][package(name)] += own
        by_package["calls"][package(name)] += count
    print(f"{'own µs':>9}{'share':>7}{'calls':>9}  where")
    for where, own in by_package["µs"].most_common(25):
        print(f"{own:>9.1f}{own / total:>7.1%}{by_package['calls'][where]:>9.1f}  {where}")
    print(f"\n{'own µs':>9}{'share':>7}{'calls':>9}  function")
    for name, (count, own) in sorted(functions.items(), key=lambda each: -each[1][1])[:most]:
        print(f"{own:>9.1f}{own / total:>7.1%}{count:>9.2f}  {shorten(name)}")


def main() -> None:
    """Parse, measure, show."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--serve", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--http", metavar="VERSION", help="over HTTP, in this version of MCP")
    parser.add_argument("--tool", choices=("list", "create", "refused"), default="list")
    parser.add_argument("--callers", type=int, default=1, help="calls in flight (default 1; the bench also has 64)")
    parser.add_argument("--calls", type=int, default=640)
    parser.add_argument("--top", type=int, default=40, help="how many functions (default 40)")
    parser.add_argument("--plain", action="store_true", help="let the org pack nothing")
    parser.add_argument("--server", default=sys.executable, metavar="PYTHON", help="the Python of another environment")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.http)
        return
    functions, plain = measure(
        options.server,
        options.tool,
        calls=options.calls,
        callers=options.callers,
        packed=not options.plain,
        version=options.http,
    )
    show(functions, plain, options.top)


if __name__ == "__main__":
    main()

"""What one run is measured with: the sizes, the orgs, the servers, and their homes."""

import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.bench import homes
from tests.bench.client import Caller, Server, call, drive
from tests.bench.homes import Participant
from tests.bench.over_http import HttpContender

HERE = Path(__file__).parent
CALLERS = 64
ECHO = {"name": "echo", "arguments": {"text": "x" * 40}}
_FIELDS = {"fields": ["Id", "Name", "Email"]}
LIST = {"name": "salesforce_list_contacts", "arguments": {"org": "bench"} | _FIELDS}
SLOW = {"name": "salesforce_list_contacts", "arguments": {"org": "slow"} | _FIELDS}
CREATE = {
    "name": "salesforce_create_contact",
    "arguments": {"org": "bench", "data": {"LastName": "Lovelace", "Email": "ada@example.com"}},
}
REFUSED = {"name": "salesforce_list_contacts", "arguments": {"org": "bench", "colour": "blue"} | _FIELDS}


@dataclass(frozen=True)
class Sizes:
    """How much is measured; the calls of one server in one alternation are 1,500 unless it is quick."""

    alternations: int = 10
    warm_up: int = 60
    alone: int = 400
    together: int = 1_040
    orgs: int = 10_000
    entries: int = 100_000

    @classmethod
    def quick(cls) -> "Sizes":
        """A look, not a judgement."""
        return cls(alternations=3, warm_up=20, alone=100, together=256, orgs=2_000, entries=20_000)


@dataclass(frozen=True)
class Contender:
    """A server, and the call that is made of it."""

    command: Sequence[str]
    params: Mapping[str, Any]
    home: Path | None = None
    is_error: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, folder: Path) -> Server:
        return Server(self.command, {**homes.environment(self.home), **self.variables}, folder)

    def caller(self, server: Server, number: int, calls: int) -> Caller:
        """One of those who call at once; ``number`` tells which, where that makes a difference."""
        del number
        return call(server, self.params, calls, is_error=self.is_error)


@dataclass(frozen=True)
class Burst:
    """What one server did in one alternation: alone is one caller, together are 64."""

    p50_ms: float
    p99_ms: float
    calls_s_alone: float
    cpu_us_alone: float
    calls_s: float
    cpu_us: float
    rss_mb: float


@dataclass
class World:
    """One run's."""

    sizes: Sizes
    folder: Path
    participants: Sequence[Participant]
    packed: bool
    fast: int
    slow: int

    @cached_property
    def echo(self) -> Contender:
        """The bare SDK."""
        return Contender([sys.executable, "-P", str(HERE / "echo.py")], ECHO)

    def floor(self, parts: str = "rows,exchange") -> Contender:
        """What no server can do without, or some of it."""
        home = self.home(self.participants[0], "floor")
        return Contender(
            [sys.executable, "-P", str(HERE / "floor.py"), parts, str(home / "orgserver.db"), str(self.fast)], ECHO
        )

    def contender(
        self, participant: Participant, params: Mapping[str, Any], *, is_error: bool = False, home: Path | None = None
    ) -> Contender:
        """One of the orgservers."""
        return Contender(participant.command("serve"), params, home or self.home(participant), is_error)

    def home(self, participant: Participant, kind: str = "calls") -> Path:
        """A participant's home for something; each is made once, from one that has nothing but the two orgs."""
        home, template = (self.folder / f"{participant.name}-{end}" for end in (kind, "template"))
        if not template.exists():
            participant.make_home(template, fast=self.fast, slow=self.slow)
        if not home.exists():
            shutil.copytree(template, home)
        return home

    def burst(self, contender: Contender | HttpContender) -> Burst:
        """Start it, warm it up, and let one caller call it, then 64."""
        with contender.start(self.folder) as server:
            server.begin()

            def callers(count: int, calls: int) -> list[Caller]:
                each = max(calls // count, 1)
                return [contender.caller(server, number, each) for number in range(count)]

            drive(callers(1, self.sizes.warm_up))
            before = server.cpu_us()
            (alone,) = callers(1, self.sizes.alone)
            seconds_alone, between = drive([alone]), server.cpu_us()
            many = callers(CALLERS, self.sizes.together)
            seconds, after = drive(many), server.cpu_us()
            together = sum(len(each.times) for each in many)
            return Burst(
                p50_ms=statistics.median(alone.times) * 1_000,
                p99_ms=statistics.quantiles(alone.times, n=100)[98] * 1_000,
                calls_s_alone=len(alone.times) / seconds_alone,
                cpu_us_alone=(between - before) / len(alone.times),
                calls_s=together / seconds,
                cpu_us=(after - between) / together,
                rss_mb=server.rss_mb(),
            )


@contextmanager
def upstream(*, packed: bool, tls: Path | None = None) -> Iterator[list[int]]:
    """Two orgs in a process of their own; the ports of the quick one, the slow one, and the quick one's for TLS."""
    form = (["--packed"] if packed else []) + (["--tls", str(tls)] if tls else [])
    command = [sys.executable, "-m", "tests.bench.upstream", *form]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1]
    ) as process:
        try:
            yield [int(port) for port in process.stdout.readline().split()]
        finally:
            process.stdin.close()

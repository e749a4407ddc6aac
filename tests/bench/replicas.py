"""What replicas on one store come to, simulated: two cores cannot run four replicas, a load and a server side by side.

Each replica has a core, and each of its callers makes one call after the other: half of the call's CPU, the intent, the
other half, the outcome. What waits at a replica is written in one group, and groups of all replicas one after the
other, for as long as their changes hold the store. The server's own CPU is not a bound here: how many cores of it the
result would keep busy is told beside it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

GROUP_LIMIT = 256
SECONDS, WARM_SECONDS = 3.0, 0.5


@dataclass(frozen=True)
class Costs:
    """In seconds, as measured."""

    call: float
    """CPU of a whole call at a replica."""
    group: float
    """How long a group holds the store, whatever is in it."""
    change: float
    """And how much longer for each of its changes."""
    server: float
    """CPU of a call at the server."""


@dataclass
class Replicas:
    """A simulated run."""

    costs: Costs
    replicas: int
    callers: int
    now: float = 0.0
    calls: int = 0
    held: float = 0.0
    groups: int = 0
    _free: bool = True
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _waiting: deque[int] = field(default_factory=deque)
    """Replicas that wait for the right to write."""

    def __post_init__(self) -> None:
        self._serial = count()
        self._core_free_at = [0.0] * self.replicas
        self._queues: list[list[Callable[[], None]]] = [[] for _ in range(self.replicas)]
        self._is_writing = [False] * self.replicas

    def run(self) -> Replicas:
        """Run it."""
        for replica in range(self.replicas):
            for _ in range(self.callers):
                self._call(replica)
        until = WARM_SECONDS
        while self._events:
            self.now, _, go_on = heapq.heappop(self._events)
            if self.now >= until:
                if until > WARM_SECONDS:
                    break
                until += SECONDS
                self.calls, self.held, self.groups = 0, 0.0, 0
            go_on()
        return self

    @property
    def rate(self) -> float:
        return self.calls / SECONDS

    def _at(self, moment: float, go_on: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._serial), go_on))

    def _work(self, replica: int, then: Callable[[], None]) -> None:
        self._core_free_at[replica] = max(self.now, self._core_free_at[replica]) + self.costs.call / 2
        self._at(self._core_free_at[replica], then)

    def _call(self, replica: int) -> None:
        def finished() -> None:
            self.calls += 1
            self._call(replica)

        def began() -> None:
            self._work(replica, lambda: self._write(replica, finished))

        self._work(replica, lambda: self._write(replica, began))

    def _write(self, replica: int, then: Callable[[], None]) -> None:
        self._queues[replica].append(then)
        self._ask_for_store(replica)

    def _ask_for_store(self, replica: int) -> None:
        if self._queues[replica] and not self._is_writing[replica]:
            self._is_writing[replica] = True
            self._waiting.append(replica)
            self._grant()

    def _grant(self) -> None:
        if not (self._free and self._waiting):
            return
        self._free = False
        replica = self._waiting.popleft()
        queue = self._queues[replica]
        group, queue[:] = queue[:GROUP_LIMIT], queue[GROUP_LIMIT:]
        held = self.costs.group + self.costs.change * len(group)
        self.held, self.groups = self.held + held, self.groups + 1

        def committed() -> None:
            self._free, self._is_writing[replica] = True, False
            for then in group:
                then()
            self._ask_for_store(replica)
            self._grant()

        self._at(self.now + held, committed)


def simulate(costs: Costs, callers: int = 64, numbers: tuple[int, ...] = (1, 2, 4, 8)) -> list[str]:
    """A line for each number of replicas."""
    runs = [Replicas(costs, number, callers).run() for number in numbers]
    return [
        f"{run.replicas} replicas: {run.rate:,.0f} calls/s, x {run.rate / runs[0].rate:.2f}; the store is held "
        f"{run.held / SECONDS:.0%} of the time, {2 * run.calls / max(run.groups, 1):.0f} changes a group; "
        f"{run.rate * costs.server:.2f} cores of the server"
        for run in runs
    ]

"""Replies that cost as much as they can: what a real server takes for one and for ten at once, and what others notice.

Beside one org that answers with such bodies, another is asked all the time. For each kind the table says how much
memory the server took at most, the longest call of the other org, the largest line that any call was answered with,
and what the agent was told.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.homes import register

from .driving import Served, serving
from .hostile import BODIES, HONEST

AT_ONCE = 10
MOST_MB, MOST_SECONDS, MOST_BYTES = 400, 1.0, 200_000
"""What may be taken, by ten such replies at once."""
_TOOLS = {
    "800 fields of 100 values": ("salesforce_describe_object", {"object": "Account"}),
    "5,000 objects": ("salesforce_list_objects", {}),
}


@dataclass
class Took:
    """What some calls of one kind took."""

    peak_mb: float = 0
    worst_ms: float = 0
    largest: int = 0
    seconds: float = 0
    said: Counter[str] = field(default_factory=Counter)


@dataclass
class Bodies:
    """What each kind took, by how many there were at once."""

    kinds: dict[tuple[str, int], Took] = field(default_factory=dict)
    clocks: bool = True

    @property
    def holds(self) -> bool:
        honest = all(
            not any("error" in text for text in self.kinds[key].said) for key in self.kinds if key[0] in HONEST
        )
        return honest and all(
            took.peak_mb <= MOST_MB
            and took.largest <= MOST_BYTES
            and (took.worst_ms <= MOST_SECONDS * 1_000 or not self.clocks)
            for took in self.kinds.values()
        )

    def __str__(self) -> str:
        lines = [
            f"\n{'':<32}{'at once':>8}{'peak MB':>9}{'other org ms':>14}{'largest result':>16}{'took s':>8}  answers"
        ]
        for (kind, count), took in self.kinds.items():
            said = ", ".join(f"{number} × {text}" for text, number in took.said.items())
            lines.append(
                f"{kind:<32}{count:>8}{took.peak_mb:>9.0f}{took.worst_ms:>14.0f}{took.largest:>16,}{took.seconds:>8.1f}  {said}"
            )
        return "\n".join(lines)


async def bodies(
    kinds: Sequence[str] = tuple(BODIES), at_once: Sequence[int] = (1, AT_ONCE), *, clocks: bool = True
) -> Bodies:
    """Have each kind answered, one and ten times at once, by a server of its own."""
    done = Bodies(clocks=clocks)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        async with _upstream("hostile") as hostile, _upstream("hostile") as healthy:
            register(str(home), hostile, "hostile")
            register(str(home), healthy, "healthy")
            for kind in kinds:
                for count in at_once:
                    with suppress(ConnectionError):
                        done.kinds[kind, count] = await _measured(home, kind, count)
    return done


async def _measured(home: Path, kind: str, count: int) -> Took:
    took = Took()
    async with serving(home, ORGSERVER_LOG_LEVEL="error") as server:
        await server.list_contacts("healthy")
        await _call(server, "hostile", "SELECT Id FROM Contact")
        server.largest = 0
        stop = asyncio.Event()
        beside = asyncio.create_task(_ask_on(server, took, stop))
        began = time.monotonic()
        answers = await asyncio.gather(*(_one(server, kind) for _ in range(count)), return_exceptions=True)
        took.seconds = time.monotonic() - began
        stop.set()
        await beside
        took.said.update(map(_said, answers))
        took.peak_mb = _peak_mb(server.process.pid)
        took.largest = server.largest
    return took


async def _one(server: Served, kind: str) -> dict[str, Any]:
    if kind in _TOOLS:
        name, arguments = _TOOLS[kind]
        return await server.call(name, {"org": "hostile"} | arguments)
    return await _call(server, "hostile", f"SELECT Id FROM Contact WHERE Name = '{kind}'")


async def _call(server: Served, org: str, soql: str) -> dict[str, Any]:
    return await server.call("salesforce_query", {"org": org, "soql": soql})


async def _ask_on(server: Served, took: Took, stop: asyncio.Event) -> None:
    while True:
        began = time.monotonic()
        await server.list_contacts("healthy")
        took.worst_ms = max(took.worst_ms, (time.monotonic() - began) * 1_000)
        if stop.is_set():
            return
        await asyncio.sleep(0.005)  # a call now and then is what notices a pause, and leaves the machine to the rest


def _said(answer: dict[str, Any] | BaseException) -> str:
    if isinstance(answer, BaseException):
        return f"error {type(answer).__name__}"
    if "error" in answer:
        return f"error {answer['error']['code']}"
    told = [f"{len(answer[name])} {name}" for name in ("records", "fields", "objects") if name in answer]
    return " ".join(told) + (" and warnings" if answer.get("warnings") else "")


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@asynccontextmanager
async def _upstream(module: str) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.faults.{module}", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    kinds = sys.argv[1:] or tuple(BODIES)
    print(asyncio.run(bodies(kinds)))

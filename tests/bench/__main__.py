"""One command that measures orgserver against the bare SDK, in one run on one machine: `python -m tests.bench`.

Every server is driven by the same raw JSON-RPC client over stdio. Ratios are what counts; absolute figures vary.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import sizes

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


@dataclass
class Measured:
    cold_ms: list[float] = field(default_factory=list)
    p50_ms: float = 0
    p99_ms: float = 0
    calls_s: float = 0
    rss_mb: float = 0
    list_bytes: int = 0


class Raw:
    """A client that does nothing but write and read lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.waiting: dict[int, asyncio.Future[bytes]] = {}
        self.serial = 0
        self.reader = asyncio.create_task(self.read())

    @classmethod
    async def start(cls, command: list[str], environment: dict[str, str]) -> "Raw":
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | environment,
            limit=1 << 24,
        )
        return cls(process)

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            marker = line.find(b'"id":')
            if marker < 0:
                continue
            number = int(line[marker + 5 :].lstrip().split(b",", 1)[0].split(b"}", 1)[0])
            if (future := self.waiting.pop(number, None)) is not None:
                future.set_result(line)

    async def ask(self, method: str, params: dict[str, Any]) -> bytes:
        self.serial += 1
        future = self.waiting[self.serial] = asyncio.get_running_loop().create_future()
        self.send({"jsonrpc": "2.0", "id": self.serial, "method": method, "params": params})
        return await asyncio.wait_for(future, 60)

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def begin(self) -> bytes:
        await self.ask("initialize", INITIALIZE)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return await self.ask("tools/list", {})

    async def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()
        self.reader.cancel()


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


async def cold(command: list[str], environment: dict[str, str], into: Measured) -> None:
    started = time.perf_counter()
    raw = await Raw.start(command, environment)
    listed = await raw.begin()
    into.cold_ms.append((time.perf_counter() - started) * 1_000)
    into.list_bytes = len(json.dumps(json.loads(listed)["result"], separators=(",", ":"), ensure_ascii=False).encode())
    await raw.end()


async def warm(
    command: list[str], environment: dict[str, str], call: dict[str, Any], calls: int, into: Measured
) -> None:
    raw = await Raw.start(command, environment)
    await raw.begin()
    for _ in range(50):
        assert b'"isError":true' not in (await raw.ask("tools/call", call))
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        await raw.ask("tools/call", call)
        times.append((time.perf_counter() - started) * 1_000)
    into.p50_ms = statistics.median(times)
    into.p99_ms = statistics.quantiles(times, n=100)[98]

    async def one_after_another() -> None:
        for _ in range(calls // 16):
            await raw.ask("tools/call", call)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(64)))
    into.calls_s = 64 * (calls // 16) / (time.perf_counter() - started)
    into.rss_mb = rss_mb(raw.process.pid)
    await raw.end()


def register(home: str, port: int, alias: str = "bench") -> None:
    credential = {
        "client_id": "bench",
        "client_secret": "bench",
        "refresh_token": f"5Aep{alias}",
        "login_url": f"http://127.0.0.1:{port}",
        "instance_url": f"http://127.0.0.1:{port}",
        "trust_hosts": [f"127.0.0.1:{port}"],
    }
    subprocess.run(
        [sys.executable, "-m", "orgserver", "add-org", alias, "--credentials-stdin"],
        input=json.dumps(credential).encode(),
        env=os.environ | {"ORGSERVER_HOME": home},
        check=True,
        capture_output=True,
    )


async def run(calls: int, starts: int, *, packed: bool) -> dict[str, Measured]:
    form = ["--packed"] if packed else []
    with tempfile.TemporaryDirectory(prefix="orgserver-bench-") as home:
        upstream = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.upstream", *form, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert upstream.stdout is not None and upstream.stdin is not None
        port = int(await upstream.stdout.readline())
        register(home, port)
        bare = [sys.executable, "-m", "tests.bench.bare"]
        url = {"BENCH_UPSTREAM": f"http://127.0.0.1:{port}"}
        ours = [sys.executable, "-m", "orgserver", "serve"]
        listing = {"name": "salesforce_list_contacts", "arguments": {"org": "bench", "fields": ["Id", "Name", "Email"]}}
        plan = {
            "SDK echo": (bare, url, {"name": "echo", "arguments": {"text": "x" * 40}}),
            "SDK + httpx GET": (bare, url, {"name": "contacts", "arguments": {"org": "bench"}}),
            "orgserver": (ours, {"ORGSERVER_HOME": home, "ORGSERVER_LOG_LEVEL": "warning"}, listing),
        }
        found = {name: Measured() for name in plan}
        for _ in range(starts):
            for name, (command, environment, _call) in plan.items():
                await cold(command, environment, found[name])
        for name, (command, environment, call) in plan.items():
            await warm(command, environment, call, calls, found[name])
        upstream.stdin.close()
        await upstream.wait()
    return found


def show(found: dict[str, Measured]) -> None:
    print(f"{'':<18}{'cold start ms':>14}{'p50 ms':>9}{'p99 ms':>9}{'calls/s':>9}{'MB':>7}{'tools/list':>12}")
    for name, m in found.items():
        cold_ms = statistics.median(m.cold_ms)
        print(
            f"{name:<18}{cold_ms:>14.0f}{m.p50_ms:>9.2f}{m.p99_ms:>9.2f}{m.calls_s:>9.0f}{m.rss_mb:>7.0f}{m.list_bytes:>12,}"
        )
    ours, echo, get = found["orgserver"], found["SDK echo"], found["SDK + httpx GET"]
    print("\norgserver (audit rows durable, tokens sealed) against         echo    GET   aim against echo")
    cold_ratio = [statistics.median(ours.cold_ms) / statistics.median(other.cold_ms) for other in (echo, get)]
    print(f"{'cold start':<56}{cold_ratio[0]:>8.2f}{cold_ratio[1]:>7.2f}   ≤ 1.5")
    print(f"{'p50 of a ten-contact list':<56}{ours.p50_ms / echo.p50_ms:>8.2f}{ours.p50_ms / get.p50_ms:>7.2f}   ≤ 2.0")
    print(f"{'calls/s, 64 in flight':<56}{ours.calls_s / echo.calls_s:>8.2f}{ours.calls_s / get.calls_s:>7.2f}   ≥ 0.8")
    print(f"{'tools/list, bytes':<56}{ours.list_bytes:>8,}{'':>7}   ≤ 14,336")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--packed", action="store_true", help="let the org pack its replies, as Salesforce does")
    chosen = parser.parse_args()
    print(f"the org's replies are {'packed with gzip, in chunks' if chosen.packed else 'plain'}")
    show(asyncio.run(run(chosen.calls, chosen.starts, packed=chosen.packed)))
    print()
    sizes.show()

"""What holds between processes: crashes leave `unknown`, servers share one store, wheels carry their migrations."""

import asyncio
import json
import os
import signal
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from orgserver.app import App
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg

ROOT = Path(__file__).parents[2]
CREATE = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": "Byron"}}},
}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


def environment(home: Path, **more: str) -> dict[str, str]:
    return os.environ | {"ORGSERVER_HOME": str(home)} | more


@asynccontextmanager
async def raw_server(home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orgserver",
        "serve",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment(home),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def send(process: asyncio.subprocess.Process, *messages: dict[str, Any]) -> None:
    assert process.stdin is not None
    for message in messages:
        process.stdin.write(json.dumps(message).encode() + b"\n")


@asynccontextmanager
async def client(home: Path, *options: str) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "orgserver", "serve", *options], env=environment(home)
    )
    with open(os.devnull, "w") as nowhere:
        async with Client(stdio_client(parameters, errlog=nowhere)) as connected:
            yield connected


async def test_a_server_killed_in_the_middle_of_a_call_leaves_it_unknown(
    app: App, acme: SandboxOrg, tmp_path: Path, open_again: Any
) -> None:
    acme.fault("hang", path=".*/sobjects/Contact", seconds=60)
    async with raw_server(tmp_path / "home") as process:
        send(process, INITIALIZE, {"jsonrpc": "2.0", "method": "notifications/initialized"}, CREATE)
        async with asyncio.timeout(30):
            while not any(seen.method == "POST" for seen in acme.requests):
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async with open_again(abandoned_seconds=0.1, heartbeat_seconds=0.05) as finder, asyncio.timeout(30):
        while True:
            found = [e async for e in finder.audit_log.entries(EntryFilter(action="create"))]
            if found and found[0].outcome is not Outcome.PENDING:
                break
            await asyncio.sleep(0.05)
        verified = await finder.audit_log.verify()

    assert [(e.outcome, e.error_code) for e in found] == [(Outcome.UNKNOWN, "ABANDONED")]
    assert verified.problem is None


async def test_four_servers_on_one_store_keep_one_chain(app: App, tmp_path: Path, acme: SandboxOrg) -> None:
    async def work(number: int) -> int:
        async with client(tmp_path / "home", "--label", f"window-{number}") as mine:
            data = [{"org": "acme", "data": {"LastName": f"L{number}-{i}"}} for i in range(10)]
            results = await asyncio.gather(*(mine.call_tool("salesforce_create_contact", each) for each in data))
            return sum(not result.is_error for result in results)

    assert await asyncio.gather(*(work(number) for number in range(4))) == [10] * 4
    created = [e async for e in app.audit_log.entries(EntryFilter(action="create"))]
    assert len(created) == 40
    assert {e.outcome for e in created} == {Outcome.SUCCEEDED}
    assert len({i for e in created for i in e.record_ids}) == 40
    assert (await app.audit_log.verify()).problem is None
    assert acme.counters.foreign_tokens == 0


async def test_closing_the_clients_end_ends_the_server(app: App, tmp_path: Path) -> None:
    async with raw_server(tmp_path / "home") as process:
        send(process, INITIALIZE)
        assert process.stdout is not None and process.stdin is not None
        await process.stdout.readline()
        process.stdin.close()
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_the_wheel_works_away_from_the_checkout(tmp_path: Path) -> None:
    """The migrations and the sandbox's data travel inside."""
    built = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)
    )
    assert await built.wait() == 0
    (wheel,) = tmp_path.glob("*.whl")
    unpacked = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)

    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orgserver",
        "demo",
        "--json",
        cwd=tmp_path,
        env=environment(tmp_path / "home", PYTHONPATH=str(unpacked)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await demo.communicate()
    told = json.loads(out)

    assert (demo.returncode, told["ok"]) == (0, True)
    assert all(step["ok"] for step in told["steps"])
    assert not (tmp_path / "home").exists()

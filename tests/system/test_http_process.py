"""A real server process over HTTP, from its start to its end by a signal."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.people.requests import KeyChanges
from tests.people import OPERATOR, principal_changes
from tests.serving.over_http.test_ending import ACCEPTED, begin_create, result_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

START_SECONDS = 30


class HttpProcess:
    """A server process that listens."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.url = ""

    async def read_start(self) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(START_SECONDS):
            while not (match := re.search(r"(http://\S+)/mcp", self.lines[-1] if self.lines else "")):
                line = (await self.process.stderr.readline()).decode()
                assert line, "".join(self.lines)
                self.lines.append(line)
        self.url = match[1]

    async def read_end(self) -> int:
        assert self.process.stderr is not None
        async with asyncio.timeout(START_SECONDS):
            self.lines.append((await self.process.stderr.read()).decode())
            return await self.process.wait()

    def client(self, key: str) -> httpx2.AsyncClient:
        headers = ACCEPTED | {"authorization": f"Bearer {key}"}
        return httpx2.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=30)


@asynccontextmanager
async def serving(home: Path, *options: str, **settings: str) -> AsyncIterator[HttpProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "serve", "--http", "127.0.0.1:0", *options,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"ORGSERVER_HOME": str(home)} | settings,
    )  # fmt: skip
    served = HttpProcess(process)
    try:
        await served.read_start()
        yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def make_key(app: App, name: str, *grants: str) -> str:
    changed = await app.people.principals.add(OPERATOR, name, principal_changes(*grants, keys=KeyChanges(new=True)))
    assert changed.key is not None
    return changed.key.text.reveal()


async def outcomes(app: App) -> list[tuple[Outcome, str | None]]:
    return [(e.outcome, e.transport) async for e in app.audit_log.entries(EntryFilter(action="create"))]


async def test_a_call_under_way_when_a_signal_comes_is_answered_and_on_record(
    app: App, acme: SandboxOrg, tmp_path: Path
) -> None:
    key = await make_key(app, "ada", "acme:read,write")
    async with serving(tmp_path / "home") as served, served.client(key) as client:
        acme.fault("delay", path=".*/sobjects/Contact", seconds=1.0)
        call = await begin_create(client, acme)
        served.process.send_signal(signal.SIGTERM)

        assert not result_of(await call).get("isError")
        assert await served.read_end() == 0

    assert await outcomes(app) == [(Outcome.SUCCEEDED, "http")]
    assert "Traceback" not in "".join(served.lines)


async def test_a_second_signal_ends_at_once(app: App, acme: SandboxOrg, tmp_path: Path) -> None:
    key = await make_key(app, "ada", "acme:read,write")
    async with serving(tmp_path / "home") as served, served.client(key) as client:
        acme.fault("hang", path=".*/sobjects/Contact", seconds=60)
        call = await begin_create(client, acme)
        served.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.5)  # signals that wait are one
        served.process.send_signal(signal.SIGINT)
        began = time.monotonic()

        assert await served.read_end() == -signal.SIGINT
        assert time.monotonic() - began < 1
        with pytest.raises(httpx2.TransportError):
            await call

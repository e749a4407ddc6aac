"""Signals and locks of others, seen by whoever runs real processes: calls are answered, and the end comes in time."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg
from orgserver.store.files import lock_path
from tests.faults.driving import Served, failed, serving
from tests.faults.locking import holding

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these signals nor flock")

CREATE = {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": "Byron"}}}
WHOLE_SECONDS = 5.0


async def posted(acme: SandboxOrg, number: int = 1) -> None:
    async with asyncio.timeout(30):
        while sum(seen.method == "POST" and "sobjects" in seen.path for seen in acme.requests) < number:
            await asyncio.sleep(0.01)


async def outcomes(app: App) -> list[tuple[Outcome, str | None]]:
    return [(e.outcome, e.error_code) async for e in app.audit_log.entries(EntryFilter(action="create"))]


def answer(reply: dict[str, Any]) -> dict[str, Any]:
    result = reply["result"]
    return json.loads(result["content"][0]["text"]) if result.get("isError") else result["structuredContent"]


async def ended(served: Served) -> int:
    async with asyncio.timeout(30):
        await served.gone()
    assert served.process.returncode is not None
    return served.process.returncode


@asynccontextmanager
async def command(home: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", *arguments, env=os.environ | {"ORGSERVER_HOME": str(home)},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_with(stream: asyncio.StreamReader | None, text: str) -> str:
    assert stream is not None
    async with asyncio.timeout(30):
        while True:
            line = (await stream.readline()).decode()
            assert line, f"it ended without a line with {text!r}"
            if text in line:
                return line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_what_is_under_way_when_a_signal_comes_is_answered_and_on_record(
    app: App, acme: SandboxOrg, tmp_path: Path, number: signal.Signals
) -> None:
    async with serving(tmp_path / "home") as served:
        acme.fault("delay", path=".*/sobjects/Contact", seconds=1.5)
        call = served.send("tools/call", CREATE)
        await posted(acme)
        served.process.send_signal(number)

        assert answer(await call)["id"]
        assert await ended(served) == 0

    assert await outcomes(app) == [(Outcome.SUCCEEDED, None)]


async def test_what_does_not_end_when_a_signal_comes_is_answered_as_unknown(
    app: App, acme: SandboxOrg, tmp_path: Path
) -> None:
    async with serving(tmp_path / "home") as served:
        acme.fault("hang", path=".*/sobjects/Contact", seconds=60)
        call = served.send("tools/call", CREATE)
        await posted(acme)
        served.process.send_signal(signal.SIGTERM)

        error = answer(await call)["error"]
        assert await ended(served) == 0

    assert (error["outcome"], error["code"]) == ("unknown", "CANCELLED")
    assert await outcomes(app) == [(Outcome.UNKNOWN, "CANCELLED")]


async def test_what_is_asked_after_a_signal_is_not_read(app: App, acme: SandboxOrg, tmp_path: Path) -> None:
    async with serving(tmp_path / "home") as served:
        acme.fault("delay", path=".*/sobjects/Contact", seconds=1.5)
        call = served.send("tools/call", CREATE)
        await posted(acme)
        served.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)  # the signal is on its way; what comes before it would be answered
        served.send("tools/call", CREATE)

        await call
        assert await ended(served) == 0

    assert len(await outcomes(app)) == 1
    await posted(acme, 1)
    assert sum(seen.method == "POST" for seen in acme.requests) == 1


async def test_a_second_signal_ends_at_once(app: App, acme: SandboxOrg, tmp_path: Path) -> None:
    async with serving(tmp_path / "home") as served:
        acme.fault("hang", path=".*/sobjects/Contact", seconds=60)
        served.send("tools/call", CREATE)
        await posted(acme)
        served.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)  # signals that wait are one
        served.process.send_signal(signal.SIGTERM)
        began = time.monotonic()

        assert await ended(served) == -signal.SIGTERM
        assert time.monotonic() - began < 1


async def test_a_signal_ends_a_server_whose_store_is_held_by_another(
    app: App, acme: SandboxOrg, tmp_path: Path, open_again: Any
) -> None:
    async with serving(tmp_path / "home") as served:
        await served.list_contacts("acme")
        acme.fault("hang", path=".*/sobjects/Contact", seconds=60)
        sent = served.send("tools/call", CREATE)
        await posted(acme)
        with holding(lock_path(app.store.database.file)) as other:
            refused = served.send("tools/call", CREATE)
            await asyncio.sleep(0.5)  # so that it has been read
            served.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            code = await ended(served)
            took = time.monotonic() - began
            other.let_go()

        assert code == 0
        assert took < WHOLE_SECONDS
        assert answer(await refused)["error"]["message"] == f"the store is busy: process {other.pid} holds it"
        assert answer(await sent)["error"]["outcome"] == "unknown"

    async with open_again(abandoned_seconds=0.1, heartbeat_seconds=0.05) as finder, asyncio.timeout(30):
        while (found := await outcomes(finder)) != [(Outcome.UNKNOWN, "ABANDONED")]:
            assert [outcome for outcome, _ in found] == [Outcome.PENDING]
            await asyncio.sleep(0.05)


async def test_a_call_beside_a_held_store_is_refused_within_its_limit(app: App, tmp_path: Path) -> None:
    async with serving(tmp_path / "home", ORGSERVER_CALL_TIMEOUT="3") as served:
        await served.list_contacts("acme")
        with holding(lock_path(app.store.database.file)) as other:
            began = time.monotonic()
            error = failed(await served.list_contacts("acme"))
            took = time.monotonic() - began
            other.let_go()

        assert error is not None
        assert (error["outcome"], error["message"]) == ("not_sent", f"the store is busy: process {other.pid} holds it")
        assert 2 < took < 3
        assert failed(await served.list_contacts("acme")) is None


async def test_a_call_beside_a_store_that_is_let_go_is_answered(app: App, tmp_path: Path) -> None:
    async with serving(tmp_path / "home", ORGSERVER_CALL_TIMEOUT="30") as served:
        await served.list_contacts("acme")
        with holding(lock_path(app.store.database.file)) as other:
            call = asyncio.ensure_future(served.list_contacts("acme"))
            await asyncio.sleep(1)  # longer than any look at who holds it
            assert not call.done()
            other.let_go()

            assert failed(await call) is None


async def test_a_server_that_starts_beside_a_held_store_says_so_and_hears_signals(app: App, tmp_path: Path) -> None:
    with holding(lock_path(app.store.database.file)) as other:
        async with command(tmp_path / "home", "serve") as server:
            line = await line_with(server.stderr, "waiting for process")
            server.send_signal(signal.SIGTERM)
            began = time.monotonic()
            await server.wait()

            assert f"process {other.pid}" in line
            assert time.monotonic() - began < WHOLE_SECONDS


async def test_a_command_beside_a_held_store_says_so_and_goes_on_when_it_is_let_go(app: App, tmp_path: Path) -> None:
    with holding(lock_path(app.store.database.file)) as other:
        async with command(tmp_path / "home", "list-orgs") as listing:
            line = await line_with(listing.stderr, "waiting for")
            other.let_go()
            out, _ = await listing.communicate()

    assert line == f"waiting for process {other.pid} to let go of the store, for 30 s at most\n"
    assert listing.returncode == 0
    assert b"acme" in out


async def test_ctrl_c_ends_a_command_that_waits_for_a_held_store(app: App, tmp_path: Path) -> None:
    with holding(lock_path(app.store.database.file)):
        async with command(tmp_path / "home", "list-orgs") as listing:
            await line_with(listing.stderr, "waiting for")
            listing.send_signal(signal.SIGINT)
            async with asyncio.timeout(WHOLE_SECONDS):
                assert await listing.wait() == 130


@pytest.mark.timeout(90)
async def test_a_command_beside_a_stopped_holder_gives_up_in_one_line(app: App, tmp_path: Path) -> None:
    with holding(lock_path(app.store.database.file)) as other:
        other.stop()
        async with command(tmp_path / "home", "list-orgs") as listing:
            out, told = await listing.communicate()

    lines = told.decode().splitlines()
    assert (listing.returncode, out) == (1, b"")
    assert lines[0] == f"waiting for process {other.pid}, which is stopped, to let go of the store, for 30 s at most"
    assert lines[1].endswith(f"the store is busy: process {other.pid} holds it and is stopped")
    assert f"kill -CONT {other.pid}" in lines[2]
    assert len(lines) == 3

"""A server whose client is answered before it is made: what a client may do meanwhile, and what a start may meet."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from orgserver.sandbox.org import SandboxOrg
from orgserver.store.files import SCHEMA
from tests.cli.shells import SECONDS, Shell
from tests.snapshots.early_answers import envelope, initialize, request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there a client is answered by the SDK alone")

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
BEGINNING = initialize(1, "2025-11-25") + INITIALIZED + request(2, "tools/list")
CALL = request(1, "tools/call", name="salesforce_list_orgs", arguments={})
"""Its id is that of the handshake."""
SLOW = """
import os, sys, time
from orgserver.cli.serving import start

imports = start._import
def slowly(is_wanted):
    print("modules:", *(name for name, module in sys.modules.items() if module), file=sys.stderr, flush=True)
    while not os.path.exists(os.environ["GO_ON"]) and is_wanted.is_set():
        time.sleep(0.01)
    imports(is_wanted)

start._import = slowly
from orgserver.__main__ import main

main()
"""
"""A server that goes on with its imports when a file is there."""
HEAVY = {
    "aiohttp", "aiosqlite", "alembic", "anyio", "httptools", "httpx", "mcp", "mcp_types", "msgspec", "opentelemetry", "portalocker", "rich",
    "sqlalchemy", "starlette",
}  # fmt: skip
MOST_MODULES, MOST_OWN = 400, 42
"""Before the first answer, the standard library's included; of them our own."""


class Slow:
    """A server that is being made."""

    def __init__(self, process: asyncio.subprocess.Process, go_on: Path) -> None:
        self.process = process
        self.go_on = go_on
        assert process.stdin and process.stdout and process.stderr
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr

    async def answers(self, count: int) -> list[Any]:
        async with asyncio.timeout(SECONDS):
            return [json.loads(await self.stdout.readline()) for _ in range(count)]

    async def modules(self) -> set[str]:
        async with asyncio.timeout(SECONDS):
            while not (line := await self.stderr.readline()).startswith(b"modules:"):
                assert line, "it was not answered early"
        return set(line.decode().split()[1:])

    async def end(self) -> tuple[int, list[Any], str]:
        self.stdin.close()
        async with asyncio.timeout(SECONDS):
            out, err = await self.process.communicate()
        return self.process.returncode or 0, list(map(json.loads, out.splitlines())), err.decode()


@asynccontextmanager
async def starting(shell: Shell, *options: str, lines: bytes = BEGINNING) -> AsyncIterator[Slow]:
    """A server that has been written to, and was not yet let go on."""
    go_on = shell.home.parent / f"go-on-{time.monotonic_ns()}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLOW, "serve", *options,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=shell.environment(GO_ON=str(go_on)), limit=1 << 20,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(lines)
    try:
        yield Slow(process, go_on)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def ready(shell: Shell, acme: SandboxOrg) -> Shell:
    """A home that a server starts in."""
    await shell.add(acme)
    return shell


async def test_a_client_is_answered_before_what_serves_is_imported(ready: Shell) -> None:
    async with starting(ready, "--org", "acme") as server:
        first, listed = await server.answers(2)
        modules = await server.modules()

    assert (first["id"], first["result"]["serverInfo"]["name"]) == (1, "orgserver")
    assert (listed["id"], len(listed["result"]["tools"])) == (2, 16)
    assert not HEAVY & {name.partition(".")[0] for name in modules}
    own = {name for name in modules if name.startswith("orgserver")}
    assert len(own) <= MOST_OWN, sorted(own)
    assert len(modules) <= MOST_MODULES


async def test_all_that_a_client_writes_meanwhile_is_answered_once(ready: Shell) -> None:
    async with starting(ready) as server:
        await server.answers(2)
        long = b'{"jsonrpc":"2.0","id":"long","method":"ping","more":"' + b"x" * (17 << 20) + b'"}\n'
        half = len(CALL) // 2
        server.stdin.write(request(3, "ping") + CALL[:half])
        (pong,) = await server.answers(1)
        server.go_on.touch()
        await asyncio.sleep(0.3)
        server.stdin.write(CALL[half:] + b"\n{not json\n" + long + request(2, "tools/list"))
        code, rest, _ = await server.end()

    assert pong == {"jsonrpc": "2.0", "id": 3, "result": {}}
    assert code == 0
    by_id = {each.get("id"): each for each in rest}
    assert sorted(map(str, by_id)) == sorted(map(str, [1, None, "long", 2]))
    assert len(rest) == 4
    assert by_id[1]["result"]["structuredContent"]["orgs"][0]["org"] == "acme"
    assert by_id["long"]["error"] and by_id[None]["error"]
    assert len(by_id[2]["result"]["tools"]) == 16


async def test_a_client_of_each_generation_may_write_all_at_once_and_leave(ready: Shell) -> None:
    discover = request(5, "server/discover", **envelope())
    modern = request(2, "tools/call", name="salesforce_list_orgs", arguments={}, **envelope())
    for lines, ids in (
        (BEGINNING + CALL, [1, 2, 1]),
        (discover + BEGINNING + CALL, [5, 1, 2, 1]),
        (discover + modern, [5, 2]),
    ):
        ran = await ready("serve", stdin=lines.decode())

        assert ran.code == 0
        answers = list(map(json.loads, ran.out.splitlines()))
        assert [each["id"] for each in answers] == ids
        assert answers[-1]["result"]["structuredContent"]["orgs"][0]["org"] == "acme"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_signal_ends_a_start_well_and_at_once(ready: Shell, number: signal.Signals) -> None:
    async with starting(ready, lines=BEGINNING + CALL) as server:
        await server.answers(2)
        await server.modules()
        server.process.send_signal(number)
        began = time.monotonic()
        code, rest, err = await server.end()

    assert (code, [(each["id"], "error" in each) for each in rest]) == (0, [(1, True)])
    assert "Traceback" not in err
    assert time.monotonic() - began < 5


async def test_a_start_that_fails_after_all_says_so_once_and_answers_who_waits(ready: Shell) -> None:
    async with starting(ready, lines=BEGINNING + CALL) as server:
        await server.answers(2)
        with closing(sqlite3.connect(ready.home / "orgserver.db")) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        server.go_on.touch()
        code, rest, err = await server.end()

    assert code == 1
    assert [(each["id"], each["error"]["code"]) for each in rest] == [(1, -32603)]
    (line,) = [line for line in err.splitlines() if line.startswith("orgserver: error:")]
    assert "was written by a newer orgserver" in line


async def test_what_refuses_a_start_is_said_before_anything_is_answered(ready: Shell) -> None:
    key = ready.home / "master.key"
    lines = BEGINNING.decode()
    with closing(sqlite3.connect(ready.home / "orgserver.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = await ready("serve", stdin=lines)
    with closing(sqlite3.connect(ready.home / "orgserver.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (SCHEMA,))
    unknown = await ready("serve", "--org", "hooli", stdin=lines)
    none = await ready("serve", "--toolset", "nonsense", stdin=lines)
    right = key.read_bytes()
    key.write_bytes(b"A" * 43 + b"=\n")
    wrong = await ready("serve", stdin=lines)
    key.write_bytes(right)
    by_command = await ready("serve", stdin=lines, ORGSERVER_MASTER_KEY_COMMAND="false")

    for refused, words in (
        (newer, f"was written by a newer orgserver (schema 9999, this one knows {SCHEMA})"),
        (unknown, "--org hooli: no org is registered as hooli"),
        (none, "there is no toolset 'nonsense' in this version"),
        (wrong, "the master key is not the one this store was sealed with"),
        (by_command, "the master key command false failed (1)"),
    ):
        assert (refused.code, refused.out) == (1, ""), refused
        assert sum(line.startswith("orgserver: error:") for line in refused.lines) == 1
        assert words in refused.err


async def test_a_key_that_a_program_prints_and_a_store_that_is_not_made_yet_are_waited_for(shell: Shell) -> None:
    made = await shell("serve", stdin=BEGINNING.decode())
    os.chmod(shell.home / "master.key", 0o600)
    printed = await shell(
        "serve", stdin=BEGINNING.decode(), ORGSERVER_MASTER_KEY_COMMAND=f"cat {shell.home / 'master.key'}"
    )

    for ran in (made, printed):
        assert ran.code == 0
        assert [json.loads(line)["id"] for line in ran.out.splitlines()] == [1, 2]

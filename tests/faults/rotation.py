"""Master keys changed under load: ``python -m tests.faults.rotation --orgs 10000 --servers 4 --kills 50 --seed 7``.

Real ``orgserver serve`` processes answer calls all the while ``orgserver rotate-key`` runs in others, which are also
killed at random. Prints figures; exits 1 if a call failed, a value did not open, or a rotation took too long.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.logins import LoginKey
from orgserver.model.errors import KeyProblem, StoreError
from orgserver.model.names import RowId
from orgserver.sandbox.server import Sandbox
from orgserver.store import tables
from tests.bench.stores import fill
from tests.store.signin.world import World

BOUND_SECONDS = 10.0
IN_FLIGHT = 2
SIGN_INS = 50
_SECONDS = 120
_EXPIRY_SECONDS = 5
_INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "r", "version": "1"}}


@dataclass
class Figures:
    seed: int
    orgs: int
    servers: int
    build_seconds: float = 0
    rotate_seconds: float = 0
    reseal_seconds: float = 0
    kills: int = 0
    kills_in_the_middle: int = 0
    calls: int = 0
    replays: int = 0
    refreshes: int = 0
    reuses: int = 0
    failed: list[str] = field(default_factory=list)
    slowest_ms: float = 0
    sign_ins: int = 0
    unreadable: int = 0
    left_under_old_keys: int = 0

    def missed(self, bound: float = BOUND_SECONDS) -> list[str]:
        """Every bound that does not hold."""
        found = [] if not self.failed else [f"{len(self.failed)} calls failed, first: {self.failed[0][:300]}"]
        found += [f"{self.reuses} spent refresh tokens were sent"] if self.reuses else []
        found += [f"{self.unreadable} values did not open"] if self.unreadable else []
        found += [f"{self.left_under_old_keys} values stayed under old keys"] if self.left_under_old_keys else []
        slow = max(self.rotate_seconds, self.reseal_seconds)
        return found + ([f"a rotation took {slow:.1f} s"] if slow > bound else [])


async def sign_in(app: App, count: int) -> dict[str, str]:
    """People who are signed in: the token that the provider gave, by session."""
    world = World(app.store)
    await world.add_people("ada")
    return {await world.sign_in(f"state {each}", token=f"prt-{each}"): f"prt-{each}" for each in range(count)}


async def unreadable_tokens(app: App, provider_tokens: dict[str, str]) -> int:
    """How many of the provider's tokens do not open."""
    bad = 0
    for session_id, text in provider_tokens.items():
        try:
            token = await app.store.database.write(
                lambda tx, of=session_id: app.store.signin_sessions.open_provider_token_in(tx, of)
            )
        except (KeyProblem, StoreError):
            token = None
        bad += token is None or token.reveal() != text
    return bad


async def unreadable(
    home: Path, numbers: dict[RowId, int], provider_tokens: dict[str, str]
) -> tuple[int, dict[str, int]]:
    """Read every value as a new process would: how many do not open, and the users of each key."""
    async with open_app(read_settings({"home": home}, {})) as app:
        keys, orgs = tables.data_keys, app.store.orgs
        found = {}
        async with app.store.database.reading() as connection:
            for table in (tables.credentials, tables.access_tokens):
                joined = select(table, keys.c.wrapped).join(keys, keys.c.owner == table.c.row_id)
                found[table.name] = {row.row_id: row for row in await connection.execute(joined)}
        bad = 0
        for row_id, number in numbers.items():
            try:
                read = orgs.credentials.open_credential(LoginKey.shared(row_id), found["credentials"][row_id])
                access = orgs.credentials.open_access_token(LoginKey.shared(row_id), found["access_tokens"][row_id])
            except (KeyError, KeyProblem):
                bad += 1
                continue
            secrets = (read.client_secret, read.refresh_token, read.private_key, access.token)
            names = ("client-secret", "refresh-token", "private-key", "access-token")
            bad += sum(s is None or s.reveal() != f"{name}-{number}" for name, s in zip(names, secrets, strict=True))
        return bad + await unreadable_tokens(app, provider_tokens), await app.keys.usage()


class Server:
    """One real server, and a client that never stops calling it.

    Every other call is a create with an idempotency key, which opens the org's data key; each key is used twice, so
    that the second call opens the answer that the first has sealed.
    """

    def __init__(self, process: asyncio.subprocess.Process, alias: str, figures: Figures) -> None:
        self.process, self.alias, self.figures = process, alias, figures
        self.serial = 0
        self.since: dict[int, float] = {}
        self.keys: dict[int, str] = {}
        self.made: dict[str, str] = {}
        self.repeat: list[str] = []
        self.stopping = False

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")

    def call(self) -> None:
        self.serial += 1
        self.since[self.serial] = time.perf_counter()
        name, arguments = ("salesforce_list_contacts", {"limit": 3}) if self.serial % 2 else self.create()
        params = {"name": name, "arguments": {"org": self.alias} | arguments}
        self.send({"id": self.serial, "method": "tools/call", "params": params})

    def create(self) -> tuple[str, dict[str, Any]]:
        key = self.repeat.pop(0) if self.repeat else f"{self.process.pid}-{self.serial}"
        self.keys[self.serial] = key
        return "salesforce_create_contact", {"data": {"LastName": key}, "idempotency_key": key}

    async def begin(self) -> None:
        assert self.process.stdout is not None
        self.send({"id": 0, "method": "initialize", "params": _INITIALIZE})
        assert await self.process.stdout.readline()
        self.send({"method": "notifications/initialized"})

    async def work(self) -> None:
        assert self.process.stdout is not None
        for _ in range(IN_FLIGHT):
            self.call()
        while self.since:
            line = await self.process.stdout.readline()
            if not line:
                self.figures.failed.append("a server ended")
                return
            self.note(json.loads(line))
            if not self.stopping:
                self.call()

    def note(self, reply: dict[str, Any]) -> None:
        took = (time.perf_counter() - self.since.pop(reply["id"])) * 1_000
        self.figures.calls += 1
        self.figures.slowest_ms = max(self.figures.slowest_ms, took)
        result = reply.get("result")
        if result is None or result.get("isError"):
            self.figures.failed.append(json.dumps(reply))
        elif (key := self.keys.pop(reply["id"], None)) is not None:
            self.compare(key, result["structuredContent"]["id"])

    def compare(self, key: str, record: str) -> None:
        if key not in self.made:
            self.made[key] = record
            self.repeat.append(key)
        elif self.made[key] != record:
            self.figures.failed.append("a repeated create was answered with another record")
        else:
            self.figures.replays += 1


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORGSERVER_")}
    return kept | {"ORGSERVER_HOME": str(home)}


async def command(home: Path, *args: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", *args,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if args[0] == "serve" else subprocess.PIPE,
        env=environment(home), limit=1 << 24,
    )  # fmt: skip


async def expire(sandbox: Sandbox) -> None:
    """Let Salesforce end every access token now and then, so that refreshes happen too.

    Far enough apart that no call meets two such ends: a call replaces a stale token once.
    """
    while True:
        await asyncio.sleep(_EXPIRY_SECONDS)
        for org in sandbox.orgs:
            org.expire_access_tokens()


@asynccontextmanager
async def servers(home: Path, number: int, aliases: list[str], figures: Figures) -> AsyncIterator[None]:
    """Servers that are called all the while."""
    running = [
        Server(await command(home, "serve", "--label", str(i)), aliases[i % len(aliases)], figures)
        for i in range(number)
    ]
    try:
        await asyncio.gather(*(server.begin() for server in running))
        working = [asyncio.create_task(server.work()) for server in running]
        yield
        for server in running:
            server.stopping = True
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(*working)
    finally:
        for server in running:
            with suppress(ProcessLookupError):
                server.process.kill()
            await server.process.wait()


async def rotate(home: Path, *options: str) -> dict[str, Any]:
    """Run a rotation to its end."""
    process = await command(home, "rotate-key", "--json", *options)
    async with asyncio.timeout(_SECONDS):
        out, err = await process.communicate()
    if process.returncode != 0:
        raise AssertionError(f"rotate-key ended with {process.returncode}: {err.decode()}")
    told: dict[str, Any] = json.loads(out)
    return told


async def killed(home: Path, delay: float, *options: str) -> None:
    """Run a rotation and kill it after a while."""
    process = await command(home, "rotate-key", "--json", *options)
    with suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await process.wait()
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    await process.communicate()


async def rotate_both(home: Path, figures: Figures) -> float:
    """Rotate without and with new data keys; how long the longer process ran."""
    figures.rotate_seconds = (await rotate(home))["seconds"]
    began = time.perf_counter()
    figures.reseal_seconds = (await rotate(home, "--reseal"))["seconds"]
    return time.perf_counter() - began


async def run(home: Path, *, orgs: int, number: int, kills: int, seed: int) -> Figures:
    """Everything once; the figures."""
    chance, figures = random.Random(seed), Figures(seed, orgs, number)
    async with Sandbox.start(2) as sandbox:
        started = time.perf_counter()
        async with open_app(read_settings({"home": home}, {})) as app:
            await register(app, sandbox)
            numbers = await fill(app, orgs)
            tokens = await sign_in(app, SIGN_INS)
        figures.sign_ins = len(tokens)
        figures.build_seconds = time.perf_counter() - started
        expiring = asyncio.create_task(expire(sandbox))
        async with servers(home, number, [org.alias for org in sandbox.orgs], figures):
            longest = await rotate_both(home, figures)
            for _ in range(kills):
                options = ("--reseal",) if chance.random() < 0.5 else ()
                earliest = (
                    longest - 2 * figures.reseal_seconds if chance.random() < 0.8 else 0
                )  # most in the work itself
                await killed(home, chance.uniform(max(earliest, 0.1), longest), *options)
                bad, usage = await unreadable(home, numbers, tokens)
                figures.kills += 1
                figures.kills_in_the_middle += sum(count > 0 for count in usage.values()) > 1
                figures.unreadable += bad
            last = await rotate(home)
        expiring.cancel()
        figures.refreshes = sum(org.counters.refreshes for org in sandbox.orgs)
        figures.reuses = sum(org.counters.reuses for org in sandbox.orgs)
        bad, usage = await unreadable(home, numbers, tokens)
        figures.unreadable += bad
        figures.left_under_old_keys = sum(count for key, count in usage.items() if key != last["key"])
    return figures


def main() -> None:
    """Parse, run, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rotation")
    parser.add_argument("--orgs", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="orgserver-rotation-") as home:
        figures = asyncio.run(
            run(Path(home) / "home", orgs=given.orgs, number=given.servers, kills=given.kills, seed=given.seed)
        )
    for name, value in vars(figures).items():
        shown = len(value) if isinstance(value, list) else f"{value:.2f}" if isinstance(value, float) else value
        print(f"{name.replace('_', ' '):<22} {shown}")
    missed = figures.missed()
    for each in missed:
        print(f"MISSED: {each}", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

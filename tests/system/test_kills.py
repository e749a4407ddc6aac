"""Servers are killed under load, and what was answered, what was sent and what is on record still agree."""

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from orgserver.app import App
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg

SERVERS, KILLS, IN_FLIGHT, SEED = 3, 8, 4, 11


class Server:
    """One server process, driven line by line until it is killed."""

    def __init__(self, home: Path, number: int) -> None:
        self.home, self.number, self.made = home, number, 0
        self.answered: list[str] = []

    async def live(self, stop: asyncio.Event, killed: asyncio.Event) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "orgserver",
            "serve",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"ORGSERVER_HOME": str(self.home)},
        )
        self.process = process
        try:
            await self._work(process, stop)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # killed
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            killed.set()

    async def _work(self, process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
        assert process.stdin is not None and process.stdout is not None
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "k", "version": "1"}}
        self._send(process, {"id": 0, "method": "initialize", "params": params})
        if not await process.stdout.readline():
            return
        self._send(process, {"method": "notifications/initialized"})
        waiting: dict[int, str] = {}
        while not stop.is_set() or waiting:
            while len(waiting) < IN_FLIGHT and not stop.is_set():
                self.made += 1
                name = f"K{self.number}-{process.pid}-{self.made}"
                waiting[self.made] = name
                arguments = {"org": "acme", "data": {"LastName": name}}
                call = {"name": "salesforce_create_contact", "arguments": arguments}
                self._send(process, {"id": self.made, "method": "tools/call", "params": call})
            line = await process.stdout.readline()
            if not line:
                return
            reply = json.loads(line)
            name = waiting.pop(reply["id"])
            if not reply["result"].get("isError"):
                self.answered.append(name)

    @staticmethod
    def _send(process: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")


async def test_kills_under_load_leave_nothing_unexplained(
    app: App, acme: SandboxOrg, tmp_path: Path, open_again: Any
) -> None:
    chance = random.Random(SEED)
    stop = asyncio.Event()
    servers = [Server(tmp_path / "home", number) for number in range(SERVERS)]

    async def keep_running(server: Server) -> None:
        while not stop.is_set():
            killed = asyncio.Event()
            await server.live(stop, killed)

    async def kill() -> None:
        for _ in range(KILLS):
            victim = chance.choice(servers)
            before = len(victim.answered) + chance.randint(1, 25)
            async with asyncio.timeout(60):
                while len(victim.answered) < before:
                    await asyncio.sleep(0.01)
            victim.process.kill()
        stop.set()

    await asyncio.gather(*(keep_running(server) for server in servers), kill())

    async with open_again(abandoned_seconds=0.1, heartbeat_seconds=0.05) as judge, asyncio.timeout(60):
        while [e async for e in judge.audit_log.entries(EntryFilter(outcome="pending"))]:
            await asyncio.sleep(0.05)
        entries = [e async for e in judge.audit_log.entries(EntryFilter(action="create"))]
        verified = await judge.audit_log.verify()

    at_salesforce = {
        r["LastName"]: i for i, r in acme.records.tables["Contact"].items() if r["LastName"].startswith("K")
    }
    recorded = {i for e in entries if e.outcome is Outcome.SUCCEEDED for i in e.record_ids}
    unknown = sum(e.outcome is Outcome.UNKNOWN for e in entries)
    answered = [name for server in servers for name in server.answered]
    assert verified.problem is None
    assert {e.outcome for e in entries} <= {Outcome.SUCCEEDED, Outcome.UNKNOWN}
    assert {at_salesforce[name] for name in answered} <= recorded, "an answer without its outcome"
    unexplained = set(at_salesforce.values()) - recorded
    assert len(unexplained) <= unknown, "a change without an intent"
    assert len(answered) > KILLS
    assert (acme.counters.reuses, acme.counters.foreign_tokens) == (0, 0)

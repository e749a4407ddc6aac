"""What ten thousand logins of people cost: ``python -m tests.bench.connections [COUNT]``.

A server's start with them, its memory, what an idle one keeps open, and a call by one's own login beside one by the
login that all share. The same server is measured with ten logins, for comparison.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orgserver.app import App, open_app, open_server_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Caller, Connection, Credential, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.sandbox.server import Sandbox
from orgserver.store.people import changes
from orgserver.store.transaction import Transaction, to_datetime
from tests import operations
from tests.own_logins import connect, set_identity
from tests.people import add_principal

ORGS, BATCH, CALLS = 10, 500, 400
FEW, MANY = 10, 10_000
START_SECONDS, MEMORY_MB = 2.0, 300
SOQL = "SELECT Id FROM User LIMIT 1"
Figures = dict[str, Any]


async def fill(app: App, row_ids: Sequence[RowId], count: int) -> None:
    """Give people logins to each org in turn; nobody at Salesforce knows them."""
    now, connections = to_datetime(app.store.database.clock()), app.store.orgs.connections

    def add(tx: Transaction, numbers: range) -> None:
        for number in numbers:
            person, org = divmod(number, len(row_ids))
            if org == 0:
                changes.add_principal_in(tx, f"person-{person}", "person")
            user = OrgUser(f"005{person:015d}", f"person-{person}@org-{org}.example", "Europe/Berlin")
            connection = Connection(
                id=RowId(new_id()), row_id=row_ids[org], principal=f"person-{person}", kind="web", user=user,
                username=user.username, state=OrgState.READY, cause=None, problem=None, created_at=now, refreshed_at=now,
            )  # fmt: skip
            credential = Credential("client", None, Secret(f"5Aep{new_id()}"), fencing=1)
            connections.add_in(tx, connection, credential, None)

    for first in range(0, count, BATCH):
        await app.store.database.write(lambda tx, at=first: add(tx, range(at, min(at + BATCH, count))))


async def prepare(home: Path, sandbox: Sandbox, count: int) -> None:
    """A home with the orgs, so many logins, and two people who call: one of them with a login of their own."""
    async with open_app(read_settings({"home": home}, {})) as app:
        row_ids = [each.org.row_id for each in await register(app, sandbox)]
        for org in sandbox.orgs:
            await set_identity(app, org.alias, "own-or-shared")
        await fill(app, row_ids, count)
        for name in ("own", "shared"):
            await add_principal(app, name, "*:read")
        await connect(app, sandbox.orgs[0], "own")


async def measure(home: Path) -> Figures:
    """What a server is when it has just started, and what its calls take."""
    async with open_server_app(read_settings({"home": home, "log_level": "error"}, {})) as app:
        await app.access.reload()
        at_start = {
            "seconds": _age(),
            "of processor": time.process_time(),
            "megabytes": _memory(),
            "sockets": _sockets(),
            "tasks": len(asyncio.all_tasks()),
        }
        times: dict[str, list[float]] = {"own": [], "shared": []}
        for turn in range(CALLS + 20):
            for name, taken in times.items():
                began = time.perf_counter()
                await operations.query(app, Caller(Principal(name), "http"), "salesforce_query", "acme", SOQL)
                if turn >= 20:
                    taken.append((time.perf_counter() - began) * 1_000)
        return at_start | {f"{name} p50 ms": statistics.median(taken) for name, taken in times.items()}


def _age() -> float:
    """Seconds since this process began."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began


def _memory() -> float:
    """The most that this process has had, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1_000


def _sockets() -> int:
    """The connections to elsewhere that this process has open."""
    links = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return sum(each.startswith("socket:") for each in links)


async def compare(many: int) -> dict[int, Figures]:
    """The same with few and with many."""
    figures = {}
    for count in (FEW, many):
        async with Sandbox.start(ORGS) as sandbox:
            with tempfile.TemporaryDirectory() as folder:
                await prepare(Path(folder) / "home", sandbox, count)
                command = (sys.executable, "-m", "tests.bench.connections", "--measure", f"{folder}/home")
                process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
                text, _ = await process.communicate()
                figures[count] = json.loads(text)
    return figures


def show(figures: dict[int, Figures]) -> bool:
    """Print them; whether they are within their bounds."""
    (few, of_few), (many, of_many) = figures.items()
    print(f"load {os.getloadavg()[0]:.1f}; bounds: start {START_SECONDS} s, memory {MEMORY_MB} MB")
    print(f"{'':<16}{few:>10,}{many:>10,} logins")
    for name, value in of_few.items():
        print(f"{name:<16}{value:>10,.2f}{of_many[name]:>10,.2f}")
    idle = (of_many["sockets"], of_many["tasks"]) == (of_few["sockets"], of_few["tasks"])
    return idle and of_many["seconds"] <= START_SECONDS and of_many["megabytes"] <= MEMORY_MB


def main(words: Sequence[str]) -> int:
    """Measure, or be the server that is measured."""
    if words[:1] == ["--measure"]:
        print(json.dumps(asyncio.run(measure(Path(words[1])))))
        return 0
    return 0 if show(asyncio.run(compare(int(words[0]) if words else MANY))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The audit log is read also where its disk has no room left for anything else."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import SECONDS, Shell

if sys.platform != "linux":
    pytest.skip("full disks are made with Linux's namespaces", allow_module_level=True)

OPEN = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("UPDATE processes SET heartbeat_at = 1")
connection.execute("UPDATE store SET id = 1")  # committed, and in the WAL alone
connection.execute("SELECT 1 FROM orgs").fetchall()
sys.argv[2:] and os._exit(0)  # as if killed: the WAL stays
print("open", flush=True)
sys.stdin.read()
"""
FULL = """
mount -t tmpfs -o size=8m,mode=700 tmpfs {disk} && cp -p {home}/* {disk}/ || exit 99
{before}
dd if=/dev/zero of={disk}/fill bs=4k 2>/dev/null
exec {python} -m orgserver audit {command}
"""
BEFORE = {
    "nobody has it open": "",
    "another process has it open": "mkfifo {home}/said; tail -f /dev/null | {python} -c '{open}' {store} >{home}/said & "
    "head -n 1 {home}/said",
    "a killed process left its WAL": "{python} -c '{open}' {store} killed; rm {store}-shm",
}


async def on_full_disk(shell: Shell, disk: Path, before: str, command: str) -> tuple[int, str, str]:
    """Run a command over a copy of the home on a disk that is full; in a namespace, which takes the disk with it."""
    disk.mkdir()
    words = {"disk": disk, "home": shell.home, "python": sys.executable, "store": disk / "orgserver.db", "open": OPEN}
    script = FULL.format(before=BEFORE[before].format(**words), command=command, **words)
    process = await asyncio.create_subprocess_exec(
        "unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=shell.environment(ORGSERVER_HOME=str(disk)),
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    shell.printed += [out.decode(), err.decode()]
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize("before", BEFORE)
async def test_the_log_is_listed_and_shown_on_a_full_disk(
    shell: Shell, acme: SandboxOrg, tmp_path: Path, before: str
) -> None:
    await shell.add(acme)

    code, out, err = await on_full_disk(shell, tmp_path / "disk", before, "list --json")

    assert code == 0, err
    assert json.loads(out[out.index("[") :]) == (await shell("audit", "list", "--json")).json
    assert "this is read from a copy of it" in err


async def test_an_entry_is_shown_on_a_full_disk(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    await shell.add(acme)
    (entry,) = (await shell("audit", "list", "--json")).json

    code, out, err = await on_full_disk(shell, tmp_path / "disk", "nobody has it open", f"show {entry['id']} --json")

    assert code == 0, err
    assert json.loads(out)["id"] == entry["id"]


async def test_a_store_that_is_no_store_is_not_read_from_a_copy(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    await shell.add(acme)
    (shell.home / "orgserver.db").write_bytes(b"no database" * 1_000)

    code, _, err = await on_full_disk(shell, tmp_path / "disk", "nobody has it open", "list")

    assert code == 1
    assert "Traceback" not in err
    assert "damaged or no SQLite database" in err

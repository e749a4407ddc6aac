"""What only reads makes no store and no key: both would stand in the way of the backup that is to be put in."""

import asyncio
import shutil
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import Shell, ShellAt


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ("list-orgs", 0, "No org is registered yet. Add one with: orgserver add-org ALIAS"),
        ("list-orgs --json", 0, "[]"),
        ("show-org acme", 1, "orgserver: error: no org is registered as acme"),
        ("check-org", 0, "No org is registered yet. Add one with: orgserver add-org ALIAS"),
        ("open acme", 1, "orgserver: error: no org is registered as acme"),
        ("audit list", 0, "No entry matches."),
        ("audit show 0197", 1, "orgserver: error: there is no audit entry with this id"),
        ("audit export --format jsonl", 0, ""),
        ("audit verify", 0, "The audit log is whole: 0 entries in 0 events."),
        ("audit tail", 0, ""),
        ("audit hold --list", 0, "There is no hold."),
        ("approvals", 0, "Nothing waits for approval."),
    ],
)
async def test_a_home_without_a_store_stays_without_one(
    tmp_path: Path, shell_at: ShellAt, words: str, code: int, line: str
) -> None:
    shell = shell_at(tmp_path / "home")
    shell.home.mkdir(mode=0o700)

    ran = await shell(*words.split())

    assert (ran.code, (ran.err + ran.out).splitlines()[:1]) == (code, [line] if line else [])
    assert list(shell.home.iterdir()) == []


async def test_there_is_no_public_key_where_there_is_no_store(tmp_path: Path, shell_at: ShellAt) -> None:
    shell = shell_at(tmp_path / "home")

    ran = await shell("audit", "public-key")

    assert (ran.code, ran.out) == (1, "")
    assert ran.lines == [f"orgserver: error: there is no store at {shell.home}/orgserver.db yet, and so no key"]
    assert not shell.home.exists()


async def test_a_backup_is_put_in_after_its_home_was_looked_at(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    await shell.add(acme)
    file, home = tmp_path / "copy.db", tmp_path / "new"
    await shell("backup", str(file))

    keyless = await shell("restore", str(file), ORGSERVER_HOME=str(home))
    await shell("list-orgs", ORGSERVER_HOME=str(home))
    home.mkdir(mode=0o700)
    shutil.copy(shell.home / "master.key", home)
    put_in = await shell("restore", str(file), ORGSERVER_HOME=str(home))

    assert keyless.lines[0] == f"orgserver: error: there is no master key at {home}/master.key"
    assert put_in.code == 0, put_in.err


async def test_a_follower_waits_for_the_store_that_is_made_after_it(shell: Shell, acme: SandboxOrg) -> None:
    follower = await shell.start("audit", "tail", "-f", "--json")
    await shell.add(acme)

    assert follower.stdout is not None
    async with asyncio.timeout(30):
        assert b'"org": "acme"' in (await follower.stdout.readline()).replace(b'":"', b'": "')
    follower.terminate()
    await shell.end(follower)

"""Homes with odd names are used as they are named; homes that others may change are not used at all."""

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import ShellAt

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
NAMES = ["a b", "a%20b", "%2F", "what?mode=memory", "a#b?c%3F", "käse", "file:x", "a'b\"c\\d", "a&b=c~"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_home_is_the_folder_it_is_named(tmp_path: Path, shell_at: ShellAt, acme: SandboxOrg, name: str) -> None:
    shell = shell_at(tmp_path / name / "home")
    beside = tmp_path / "copy.backup"

    await shell.add(acme)
    ran = [
        await shell(*words)
        for words in (
            ("list-orgs", "--json"),
            ("audit", "verify"),
            ("audit", "list", "--json"),
            ("backup", str(beside)),
            ("rotate-key",),
            ("doctor", "--offline", "--json"),
        )
    ]

    assert [(each.code, each.err) for each in ran[:3]] == [(0, "")] * 3
    assert [each.code for each in ran] == [0] * 6
    assert [org["org"] for org in json.loads(ran[0].out)] == ["acme"]
    assert {each.name for each in tmp_path.iterdir()} == {name, beside.name}
    assert (shell.home / "orgserver.db").stat().st_mode & 0o777 == 0o600


async def test_two_homes_whose_names_are_one_as_urls_are_two(
    tmp_path: Path, shell_at: ShellAt, acme: SandboxOrg
) -> None:
    spaced, percent = shell_at(tmp_path / "a b"), shell_at(tmp_path / "a%20b")

    await spaced.add(acme)
    ran = await percent("list-orgs", "--json")

    assert json.loads(ran.out or "[]") == []
    assert (await spaced("list-orgs", "--json")).json[0]["org"] == "acme"


@pytest.mark.parametrize(
    ("url", "name"),
    [("a%20b/x.db", "a b/x.db"), ("50%25/x.db", "50%/x.db"), ("a%3Fb/x.db", "a?b/x.db"), ("ü/x.db", "ü/x.db")],
)
async def test_a_database_url_is_read_as_a_url(
    tmp_path: Path, shell_at: ShellAt, acme: SandboxOrg, url: str, name: str
) -> None:
    shell = shell_at(tmp_path / "home", env={"ORGSERVER_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/{url}"})

    await shell.add(acme)

    assert (tmp_path / name).is_file()


async def test_options_of_a_database_url_are_refused_not_passed_over(tmp_path: Path, shell_at: ShellAt) -> None:
    shell = shell_at(tmp_path / "home")

    ran = await shell("list-orgs", ORGSERVER_DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/a?b/x.db")

    assert ran.code == 1
    assert "options after a ?" in ran.err
    assert "%3F" in ran.err
    assert not list(tmp_path.rglob("*.db"))


# -- who else may write there


def _program(tmp_path: Path) -> tuple[str, Path]:
    """A program that would print a key, and what tells that it ran."""
    ran = tmp_path / "it-ran"
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(f'open({str(ran)!r}, chr(119))')}", ran


@posix
@pytest.mark.parametrize(
    ("command", "what", "mode"),
    [
        (("list-orgs",), "config.toml", 0o666),
        (("serve",), "config.toml", 0o620),
        (("doctor",), "", 0o777),
        (("add-org", "acme"), "", 0o770),
        (("audit", "verify"), "", 0o1777),
    ],
)
async def test_a_config_that_others_may_change_names_no_program(
    tmp_path: Path, shell_at: ShellAt, command: tuple[str, ...], what: str, mode: int
) -> None:
    shell = shell_at(tmp_path / "home")
    shell.home.mkdir(mode=0o700)
    program, ran_file = _program(tmp_path)
    (shell.home / "config.toml").write_text(f"master_key_command = {json.dumps(program)}\n")
    (shell.home / what).chmod(mode)

    ran = await shell(*command)

    assert ran.code == 1
    assert not ran_file.exists()
    assert f"can be changed by others (mode {mode:o})" in ran.lines[0]
    assert f"chmod go-w {shlex.quote(str(shell.home / what))}" in ran.lines[1]
    assert sorted(each.name for each in shell.home.iterdir()) == ["config.toml"]


@posix
@pytest.mark.parametrize(("home_mode", "config_mode"), [(0o700, 0o600), (0o755, 0o644)])
async def test_a_config_that_others_may_only_read_is_used(
    tmp_path: Path, shell_at: ShellAt, acme: SandboxOrg, home_mode: int, config_mode: int
) -> None:
    shell = shell_at(tmp_path / "home")
    shell.home.mkdir()
    (shell.home / "config.toml").write_text("org_queue = 7\n")
    (shell.home / "config.toml").chmod(config_mode)
    shell.home.chmod(home_mode)

    await shell.add(acme)
    ran = await shell("doctor", "--offline", "--json")

    level = "ok" if home_mode == 0o700 else "warning"
    assert [each["level"] for each in ran.json if each["name"] == "folder"] == [level]


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["config.toml", "", "master.key"])
async def test_what_belongs_to_somebody_else_is_not_used(
    tmp_path: Path, shell_at: ShellAt, acme: SandboxOrg, what: str
) -> None:
    shell = shell_at(tmp_path / "home")
    await shell.add(acme)
    (shell.home / "config.toml").write_text("org_queue = 7\n")
    os.chown(shell.home / what, 4242, -1)

    ran = await shell("list-orgs" if what != "master.key" else "check-org")

    assert ran.code == 1
    assert f"{shell.home / what} belongs to another user" in ran.lines[0]
    assert "chown" in ran.lines[1]
    assert "acme" not in ran.out


@posix
async def test_a_key_in_a_folder_that_others_may_change_is_not_used(
    tmp_path: Path, shell_at: ShellAt, acme: SandboxOrg
) -> None:
    shell = shell_at(tmp_path / "home")
    await shell.add(acme)
    folder = tmp_path / "keys"
    folder.mkdir()
    (shell.home / "master.key").rename(folder / "ring")
    safe = await shell("check-org", ORGSERVER_MASTER_KEY_FILE=str(folder / "ring"))
    folder.chmod(0o777)

    ran = await shell("check-org", ORGSERVER_MASTER_KEY_FILE=str(folder / "ring"))

    assert (safe.code, ran.code) == (0, 1)
    assert "the folder of the master key is no safe place" in ran.lines[0]
    assert f"chmod go-w {folder}" in ran.lines[1]

"""``doctor`` as people and scripts run it."""

import os
import shutil
import sqlite3
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orgserver.app import open_app
from orgserver.cli.main import cli
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.cli.store.doctor import group_findings
from orgserver.config import read_settings
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.services.doctor.machine import Finding
from orgserver.services.tokens import token_errors
from orgserver.store.files import SCHEMA
from tests.cli.shells import Ran, Shell


@pytest.fixture
async def stocked(shell: Shell, sandbox: Sandbox) -> Shell:
    """A shell whose home has both pretend orgs."""
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        await register(app, sandbox)
    for org in sandbox.orgs:
        org.requests.clear()
    return shell


def levels(ran: Ran) -> dict[str, str]:
    return {each["name"]: each["level"] for each in ran.json}


def edit(home: Path, sql: str) -> None:
    with closing(sqlite3.connect(home / "orgserver.db")) as connection, connection:
        connection.execute(sql)


async def test_a_store_in_order_is_told_line_by_line(stocked: Shell) -> None:
    ran = await stocked("doctor")

    assert ran.code == 0, ran.out
    lines = ran.out.splitlines()
    assert {line[0] for line in lines[:-1]} <= {"✓", "·", "!", " "}
    column = lines[0].index("0.")
    assert all(line[column] != " " for line in lines[:-1])
    for told in ("WAL-reset bug", "local", SCHEMA, "agrees with", "org acme", "org globex"):
        assert told in ran.out
    assert "\x1b" not in ran.out
    assert lines[-1] == "no problems, 1 warning."
    assert ran.err == ""


def test_of_a_fleet_each_kind_of_finding_is_shown_a_few_times_and_counted() -> None:
    fleet = [Finding(f"org a{n}", "ok", f"ready; last refreshed {n} hours ago, dies in {n}") for n in range(2_000)]
    moved = [Finding(f"org m{n}", "warning", f"it moved from m{n}.my.salesforce.com to cs{n}.x") for n in range(22)]
    rare = Finding("org odd", "problem", "quarantined: odd", "find out why")

    shown, more = group_findings([*fleet[:1_000], rare, *moved, *fleet[1_000:]])

    assert shown == [*fleet[:20], rare, *moved[:20]]
    assert more == {fleet[0]: 1_980, moved[0]: 2}


async def test_a_person_sees_how_many_orgs_are_left_out_and_a_script_sees_all(stocked: Shell) -> None:
    with closing(sqlite3.connect(stocked.home / "orgserver.db")) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(orgs)")]
    values = {"row_id": "'row' || value", "alias": "'copy' || value", "org_id": "NULL"}
    series = "WITH RECURSIVE series(value) AS (VALUES (1) UNION ALL SELECT value + 1 FROM series WHERE value < 40)"
    row = ", ".join(values.get(name, name) for name in columns)
    edit(stocked.home, f"{series} INSERT INTO orgs SELECT {row} FROM orgs, series WHERE alias = 'acme'")

    told, listed = await stocked("doctor", "--offline"), await stocked("doctor", "--offline", "--json")

    lines = told.out.splitlines()
    assert sum(" org " in line for line in lines if not line.startswith(" ")) == 21, told.out
    assert "more " in told.out and "22 findings like that on org acme" in told.out
    assert "orgserver doctor --json has each of them" in told.out
    assert len([name for name in levels(listed) if name.startswith("org ")]) == 42


async def test_scripts_get_every_finding(stocked: Shell) -> None:
    ran = await stocked("doctor", "--json")

    assert ran.code == 0
    assert set(ran.json[0]) == {"name", "level", "text", "todo"}
    assert list(levels(ran)) == [
        "orgserver", "Python", "MCP SDK", "SQLite", "other programs", "folder", "files", "file system", "disk",
        "master key", "key's place", "lock file", "schema", "journal", "integrity", "audit log", "size", "pending", "rescue files",
        "enrolments", "key", "approvals", "clock", "org acme", "org globex",
    ]  # fmt: skip
    assert "problem" not in levels(ran).values()


async def test_offline_nothing_is_asked(stocked: Shell, sandbox: Sandbox) -> None:
    ran = await stocked("doctor", "--offline", "--json")

    assert "clock" not in levels(ran)
    assert [org.requests for org in sandbox.orgs] == [[], []]


async def test_what_must_be_done_fails_the_command(stocked: Shell) -> None:
    edit(stocked.home, "UPDATE orgs SET state = 'needs_login', cause = 'expired token' WHERE alias = 'acme'")

    ran = await stocked("doctor")

    assert ran.code == 1
    lines = ran.out.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("✗"))
    assert "org acme" in lines[place]
    assert lines[place].endswith("needs a new login: expired token")
    assert lines[place + 1].strip().startswith("→ orgserver update-org acme --auth")
    assert lines[-1].startswith("1 problem, ")


async def test_a_restored_store_is_told_what_it_needs_and_sends_nothing(
    stocked: Shell, tmp_path: Path, sandbox: Sandbox
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    shutil.copy(stocked.home / "master.key", elsewhere)
    await stocked("backup", str(elsewhere / "orgserver.db"))  # a copy that is simply put there

    ran = await stocked("doctor", ORGSERVER_HOME=str(elsewhere))

    assert ran.code == 1
    assert "in doubt: this store is a copy made at" in ran.out
    assert "orgserver check-org acme --try-token (revokes the token if another store still uses it)" in ran.out
    assert [org.requests for org in sandbox.orgs] == [[], []]


@pytest.mark.parametrize(
    ("state", "auth", "command"),
    [
        ("needs_login", "refresh-token", "orgserver update-org acme --auth web"),
        ("needs_login", "web", "orgserver update-org acme --auth web"),
        ("needs_login", "jwt", "orgserver update-org acme --auth jwt"),
        ("quarantined", "refresh-token", "orgserver update-org acme --auth web"),
        ("in_doubt", "refresh-token", "check-org acme --try-token (settles it), or log in again: orgserver update-org acme --auth web"),
    ],
)  # fmt: skip
async def test_doctor_and_what_an_agent_is_told_name_the_same_command(
    stocked: Shell, state: str, auth: str, command: str
) -> None:
    edit(stocked.home, f"UPDATE orgs SET state = '{state}', cause = 'odd', auth = '{auth}' WHERE alias = 'acme'")
    edit(stocked.home, "DELETE FROM access_tokens")
    async with open_app(read_settings({"home": stocked.home}, {})) as app:
        org = await app.registry.one("acme")
        error = token_errors.closed(org, org)

    found = {each["name"]: each for each in (await stocked("doctor", "--offline", "--json")).json}

    assert (error.hint or "").endswith(command)
    assert found["org acme"]["todo"].endswith(command)


async def test_no_store_is_a_problem_and_none_is_made(shell: Shell) -> None:
    ran = await shell("doctor", "--json")

    assert ran.code == 1
    assert ran.json[-1]["name"] == "store"
    assert "orgserver add-org" in ran.json[-1]["todo"]
    assert not shell.home.exists()


@pytest.mark.parametrize("broken", ["another key", "no key", "older", "newer", "no database"])
async def test_a_store_that_does_not_open_is_one_finding_among_the_others(stocked: Shell, broken: str) -> None:
    more: dict[str, Any] = {}
    if broken == "another key":
        more["ORGSERVER_MASTER_KEY"] = b64encode(os.urandom(32)).decode()
    elif broken == "no key":
        (stocked.home / "master.key").unlink()
    elif broken == "no database":
        (stocked.home / "orgserver.db").write_bytes(b"no database at all" * 500)
    else:
        edit(stocked.home, f"UPDATE alembic_version SET version_num = '{'0001' if broken == 'older' else '9999'}'")

    ran = await stocked("doctor", "--json", **more)

    assert ran.code == 1
    assert levels(ran)["disk"] == "ok"
    assert ran.json[-1]["level"] == "problem"
    assert "\n" not in ran.json[-1]["text"]
    assert ran.json[-1]["todo"]
    assert ran.err == ""
    assert not any(value in ran.out for value in more.values())


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_color: str
) -> None:
    monkeypatch.setenv("ORGSERVER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", no_color)

    shown = CliRunner().invoke(cli, ["doctor"], color=True)

    assert ("\x1b[" in shown.output) == (not no_color)


async def test_names_that_are_no_settings_are_told_by_doctor_and_on_start(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    good = await shell("doctor", "--offline", "--json")
    listed = await shell("list-orgs", ORGSERVER_LOG_LEVLE="debug")
    served = await shell("serve", ORGSERVER_LOG_LEVLE="debug")
    (shell.home / "config.toml").write_text("org_concurency = 3\n")
    started = await shell("serve")

    examined = await shell("doctor", "--offline", "--json", ORGSERVER_LOG_LEVLE="debug")

    told = [each["text"] for each in examined.json if each["name"] == "settings"]
    assert told == [
        f"org_concurency in {shell.home / 'config.toml'} is no setting; did you mean org_concurrency?",
        "ORGSERVER_LOG_LEVLE in the environment is no setting; did you mean ORGSERVER_LOG_LEVEL?",
    ]
    assert (good.code, examined.code) == (0, 1)
    assert not [each for each in good.json if each["name"] == "settings"]
    assert len(examined.json) == len(good.json) + 2, "everything else is examined all the same"
    assert told[1] in listed.err and told[1] in served.err
    assert (listed.code, served.code, started.code) == (0, 0, 1)
    assert told[0] in started.err

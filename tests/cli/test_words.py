"""What commands say: what changed, what is not shown, what to do next; within the 80 columns of a terminal."""

import asyncio
import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from orgserver.app import App
from orgserver.cli.audit import undo_table
from orgserver.cli.main import cli
from orgserver.cli.orgs import enrolment
from orgserver.model.errors import ConfigError, PolicyDenied, UnknownOrg
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.calls.approvals import Approving
from orgserver.services.orgs.enrolment import Enrolled
from tests import operations
from tests.cli.shells import SECONDS, Command, Shell

NARROW = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "80", "LINES": "1000"}
"""A terminal of 80 columns, as rich takes one for granted."""


async def test_an_update_says_old_and_new_or_that_nothing_changed(command: Command) -> None:
    changed = await command(cli, "update-org", "acme", "--read-only", "--disable", "--tag", "eu", "--rename", "acme-eu")
    again = await command(cli, "update-org", "acme-eu", "--read-only", "--disable", "--tag", "eu")
    told = await command(cli, "update-org", "acme-eu", "--enable", "--read-only", "--json")

    assert changed.stdout.splitlines() == [
        "acme-eu: alias acme → acme-eu",
        "acme-eu: state ready → disabled",
        "acme-eu: tags none → eu",
        "acme-eu: read-only no → yes",
    ]
    assert again.stdout == "acme-eu: nothing changed, it is so already (disabled, read-only)\n"
    assert json.loads(told.stdout)["changed"] == [{"field": "state", "from": "disabled", "to": "ready"}]


async def test_orgs_are_matched_and_those_with_problems_are_an_exit_code(
    command: Command, app: App, acme: SandboxOrg, caller: Caller
) -> None:
    await app.registry.update(caller, "globex", tags=("emea",), enabled=False)
    fine = await command(cli, "list-orgs", "--problems")
    matched = await command(cli, "list-orgs", "--match", "EMEA", "--json")
    nothing = await command(cli, "list-orgs", "--match", "nowhere")
    acme.refresh_token = "5Aep861another"
    acme.expire_access_tokens()
    await command(cli, "check-org", "acme")
    problems = await command(cli, "list-orgs", "--problems", "--json")
    elsewhere = await command(cli, "list-orgs", "--problems", "--match", "globex")

    assert (fine.exit_code, fine.stdout, fine.stderr) == (0, "", "No org has a problem.\n")
    assert [org["alias"] for org in json.loads(matched.stdout)] == ["globex"]
    assert (nothing.exit_code, nothing.stderr) == (0, "No org matching nowhere is registered.\n")
    assert (problems.exit_code, [org["alias"] for org in json.loads(problems.stdout)]) == (1, ["acme"])
    assert (elsewhere.exit_code, elsewhere.stderr) == (0, "No org matching globex has a problem.\n")


@pytest.mark.parametrize(
    ("words", "omitted", "kept"),
    [
        ("list-orgs", "instance", "state"),
        ("audit list", "principal", "outcome"),
        ("audit report", "newest (UTC)", "action"),
        ("audit undo --request r1 --dry-run", "principal", "values"),
    ],
)
async def test_a_narrow_terminal_is_told_which_columns_it_does_not_show(
    command: Command, app: App, caller: Caller, words: str, omitted: str, kept: str
) -> None:
    await app.registry.update(caller, "acme", policy={"keep_values": True, "confirm_deletes": True}, tags=("emea",))
    await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "Byron", "Email": "b" * 50 + "@acme.com"})
    with pytest.raises(UnknownOrg):
        await operations.create(app, caller, "t", "acne-with-a-long-name", CONTACT, {"LastName": "X"})

    narrow = await command(cli, *words.split(), **NARROW)
    wide = await command(cli, *words.split(), "--wide", **NARROW)
    piped = await command(cli, *words.split())

    assert max(map(len, narrow.stdout.splitlines())) <= 80
    told = " ".join(narrow.stderr.split()).partition("Not shown here: ")[2].partition(". --wide shows every column.")[0]
    assert omitted in told.split(", ") and kept not in told.split(", ")
    for whole in (wide, piped):
        assert omitted in whole.stdout and kept in whole.stdout
        assert "Not shown" not in whole.stderr


async def test_a_shortened_id_is_taken_as_it_was_printed(command: Command, app: App, caller: Caller) -> None:
    for name in ("One", "Two"):
        await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": name})

    listed = await command(cli, "audit", "list", "--action", "create", **NARROW)
    ids = [line.split()[-1] for line in listed.stdout.splitlines()[1:]]
    shown = [await command(cli, "audit", "show", each, "--json") for each in ids]

    assert {len(each) for each in ids} == {18}
    assert [json.loads(each.stdout)["id"][:18] for each in shown] == ids


async def test_a_filter_or_command_that_names_no_org_says_so_with_the_nearest(command: Command) -> None:
    words = ["audit list", "audit export", "audit hold h", "audit erase", "audit undo --request x"]
    filtered = [await command(cli, *each.split(), "--org", "acmee") for each in words]
    known = await command(cli, "audit", "list", "--org", "ACME")
    nobody = await command(cli, "audit", "list", "--org", "xyzzy")
    missing = await command(cli, "show-org", "globx")

    for each in filtered:
        assert "orgserver: warning: no org is registered as acmee; did you mean acme?" in each.stderr
    assert known.stderr == ""
    assert "orgserver: warning: no org is registered as xyzzy\n" in nobody.stderr
    assert missing.exit_code == 1
    assert "hint: did you mean globex? orgserver list-orgs shows those that are" in missing.stderr


async def test_orgs_that_agents_made_up_are_one_row_of_the_report(
    command: Command, app: App, caller: Caller, acme: SandboxOrg
) -> None:
    for number in range(20):
        with pytest.raises(UnknownOrg):
            await operations.create(app, caller, "t", f"made-up-{number}", CONTACT, {"LastName": "X"})
    await operations.create(app, caller, "t", "globex", CONTACT, {"LastName": "X"})
    await command(cli, "remove-org", "globex", "--yes", "--keep-token")

    report = json.loads((await command(cli, "audit", "report", "--json")).stdout)

    assert {line["name"]: sum(line["counts"].values()) for line in report["by"]["org"]} == {
        "(no such org)": 20, "globex": 3, "acme": 1,
    }  # fmt: skip
    (failure,) = report["failures"]
    assert (failure["org"], failure["count"], failure["error_code"]) == ("(no such org)", 20, "UNKNOWN_ORG")


async def test_show_org_says_the_alias_once(command: Command) -> None:
    shown = await command(cli, "show-org", "acme")
    told = await command(cli, "show-org", "acme", "--json")

    names = [line.split("  ")[0] for line in shown.stdout.splitlines()]
    assert names[0] == "org"
    assert "alias" not in names
    assert json.loads(told.stdout)["alias"] == json.loads(told.stdout)["org"] == "acme"


async def test_a_store_without_orgs_tells_agents_where_it_is_and_what_a_person_does(
    open_again: object, caller: Caller, tmp_path: Path
) -> None:
    async with open_again() as app:  # type: ignore[operator]  # the fixture of all tests
        page = await operations.orgs(app, caller, "salesforce_list_orgs", None, None)

    (warning,) = page.warnings
    assert page.orgs == []
    assert warning.startswith(f"no org is registered in {tmp_path / 'home' / 'orgserver.db'} yet; ")
    assert warning.endswith("orgserver add-org ALIAS")


async def test_with_orgs_there_is_no_such_warning(app: App, caller: Caller) -> None:
    assert (await operations.orgs(app, caller, "salesforce_list_orgs", "nowhere", None)).warnings == ()


def test_what_is_left_of_a_long_value_ends_in_an_ellipsis() -> None:
    assert undo_table.cut("x" * 100, 10) == "x" * 9 + "…"
    assert undo_table.cut("x" * 10, 10) == "x" * 10


async def test_the_sandbox_prints_commands_that_register_its_orgs(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "two words.json"
    with file.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orgserver", "sandbox", "--orgs", "4", "--tls",
            stdout=out, stderr=asyncio.subprocess.PIPE, env=shell.environment(),
        )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        said = [(await process.stderr.readline()).decode() for _ in range(6)]
    commands = [line.strip() for line in said if "add-org" in line]
    setting, _, words = commands[1].partition(" ")
    given = words.partition(" < ")
    asked = shlex.split(given[0])
    try:
        added = await shell(
            *asked[-3:], stdin=Path(shlex.split(given[2])[0]).read_text(), ORGSERVER_CA_FILE=setting.partition("=")[2]
        )
        nobody = await shell("add-org", "nobody", "--credentials-stdin", stdin=file.read_text())
    finally:
        process.terminate()
        await process.wait()

    assert [shlex.split(line)[-4] for line in commands] == ["acme", "globex", "initech"]
    assert said[-1] == "  and so on, to umbrella\n"
    assert added.code == 0, added.err
    assert "the refresh token that came on standard input is dead now" in added.err
    assert "policy" in added.out and "none: agents may do what this user may" in added.out
    assert nobody.code == 1
    assert nobody.lines[1] == "orgserver: hint: it has: acme, globex, initech, umbrella"


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is made the POSIX way")
async def test_serve_says_on_a_terminal_that_a_client_should_start_it(shell: Shell) -> None:
    here, theirs = os.openpty()
    on_terminal, piped = await asyncio.gather(
        asyncio.create_subprocess_exec(
            sys.executable, "-m", "orgserver", "serve", stdin=theirs,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=shell.environment(),
        ),
        shell("serve"),
    )  # fmt: skip
    os.close(theirs)
    os.write(here, b"\x04")
    async with asyncio.timeout(SECONDS):
        out, err = await on_terminal.communicate()
    os.close(here)

    assert out == b""
    assert b"an MCP client should start it" in err
    assert b"orgserver connect claude-code" in err
    assert max(map(len, err.splitlines()[:3])) <= 80
    assert "should start it" not in piped.err


async def test_the_beginning_of_a_code_stands_for_it_unless_several_begin_so(app: App, caller: Caller) -> None:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    approving = Approving(app.store, app.access)
    codes: list[str] = []
    while len({code[0] for code in codes}) == len(codes):  # until two begin alike
        made = await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "Byron"})
        with pytest.raises(PolicyDenied):
            await operations.delete(app, caller, "t", "acme", CONTACT, made.id)
        codes = [each.code for each in await approving.waiting()]
    alike = next(code[0] for code in codes if sum(each[0] == code[0] for each in codes) > 1)
    alone = min(codes)
    length = next(n for n in range(1, 10) if sum(each[:n] == alone[:n] for each in codes) == 1)

    assert (await approving.one(alone[:length].lower())).code == alone
    with pytest.raises(ConfigError, match=f"{alike} is the beginning of several codes$"):
        await approving.one(alike)
    for unknown in ("", f"{alone}X"):
        with pytest.raises(ConfigError, match="no request waits under"):
            await approving.one(unknown)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "the prompt",
            "the refresh token that was typed in is dead now, and using it would revoke this one. Remove it ",
        ),
        (
            "/home/ada/.env",
            "the copy in /home/ada/.env is dead now, and using it would revoke this one. Remove it there,",
        ),
    ],
)
async def test_a_dead_copy_is_named_as_what_it_is(
    app: App, source: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    org = replace(await app.registry.one("acme"), source=source)

    enrolment.show(Enrolled(org, rotated=True, resumed=False, also_known_as=()), as_json=True)

    assert words in capsys.readouterr().err


def test_an_option_of_an_older_name_is_taken_and_not_shown() -> None:
    shown = CliRunner().invoke(cli, ["audit", "erase", "--help"]).output

    assert "--record-id ID" in shown
    assert "--record " not in shown and "--record," not in shown

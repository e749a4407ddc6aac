"""``apply`` and ``export-config`` as people run them: orgs are enrolled by references, and what loosens needs a person."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import Shell

Facts = dict[str, Any]


def org_of(org: SandboxOrg, **more: Any) -> Facts:
    return {
        "auth": "refresh-token",
        "client_id": org.client_id,
        "login_url": org.url,
        "trust_hosts": [org.url.partition("://")[2]],
        "client_secret": "env:APP_SECRET",
        "refresh_token": f"file:{org.alias}.token",
        **more,
    }


class Fleet:
    """A file and the secrets beside it."""

    def __init__(self, folder: Path, *orgs: SandboxOrg) -> None:
        self.path = folder / "fleet.yaml"
        for org in orgs:
            (folder / f"{org.alias}.token").write_text(f"{org.refresh_token}\n")
            (folder / f"{org.alias}.token").chmod(0o600)

    def write(self, **sections: Any) -> str:
        self.path.write_text(yaml.safe_dump(sections, sort_keys=False))
        return str(self.path)


@pytest.fixture
def fleet(tmp_path: Path, acme: SandboxOrg, globex: SandboxOrg) -> Fleet:
    return Fleet(tmp_path, acme, globex)


async def test_a_fleet_is_enrolled_granted_and_exported_and_the_second_run_reads_no_secret(
    shell: Shell, fleet: Fleet, acme: SandboxOrg, tmp_path: Path
) -> None:
    file = fleet.write(
        orgs={"acme": org_of(acme, tags=["eu"], policy={"row-limit": 50})},
        groups={"emea": {"members": ["ada"], "grants": ["tag:eu:read"]}},
        principals={"ada": {"grants": ["acme:read,write until 2037-01-31"]}},
    )

    planned = await shell("apply", file, "--plan", "--exit-code")
    assert (acme.counters.refreshes, shell.home.exists()) == (0, False)
    done = await shell("apply", file, "--commit", "3f2c1d0", APP_SECRET=acme.client_secret)
    (tmp_path / "acme.token").unlink()
    again = await shell("apply", file)
    same = await shell("apply", file, "--plan", "--exit-code", "--prune")
    exported = await shell("export-config")
    (tmp_path / "exported.yaml").write_text(exported.out)
    round_trip = await shell("apply", str(tmp_path / "exported.yaml"), "--plan", "--exit-code", "--prune")
    log = (await shell("audit", "list", "--json")).json

    assert (planned.code, planned.lines[-1]) == (3, "Plan: 1 to enrol, 2 to add, 1 to change.")
    assert "    refresh_token: from file:acme.token" in planned.out.splitlines()
    assert done.code == 0, done.err
    assert "refresh token rotation is on in acme: the copies that the files name are dead now" in done.err
    assert (again.code, again.err) == (0, "Nothing to do: everything is as the files say.\n")
    assert (same.code, round_trip.code) == (0, 0), round_trip.out
    assert (acme.counters.refreshes, acme.counters.reuses) == (1, 0)
    ours = [each for each in log if each["tool"] == "apply"]
    assert {each["label"] for each in ours} == {"fleet.yaml at 3f2c1d0"}
    assert {each["action"] for each in ours} == {"enrol", "grant"}


async def test_what_loosens_asks_a_person_and_is_on_record_as_that(
    shell: Shell, fleet: Fleet, acme: SandboxOrg
) -> None:
    await shell.add(acme, "--read-only", "--row-limit", "50")
    file = fleet.write(orgs={"acme": {"policy": {"row-limit": 20}}}, principals={"ada": {}})

    planned = await shell("apply", file, "--plan")
    refused = await shell("apply", file)
    nothing = (await shell("list-principals", "--json")).json
    async with shell.at_terminal("apply", file) as terminal:
        question = await terminal.answer("[y/N]", "y")
        assert await terminal.end() == 0
    log = (await shell("audit", "list", "--json", "--org", "acme")).json

    assert planned.out.splitlines() == [
        "~ org acme", "    read-only yes → no  (loosens)", "    row-limit 50 → 20", "+ principal ada", "    kind: person",
    ]  # fmt: skip
    assert planned.lines == ["Plan: 1 to add, 1 to change; 1 of it loosens, and a person is asked."]
    assert (refused.code, nothing) == (1, [])
    assert refused.lines[-2] == "orgserver: error: nothing was changed: nobody is here to confirm it"
    assert "Loosen acme: read-only yes → no?" in question
    assert (log[0]["label"], log[0]["fields"]) == ("fleet.yaml (typed)", ["no_read_only", "row_limit:50->20"])


async def test_where_secrets_go_beyond_salesforce_a_person_is_asked(
    shell: Shell, fleet: Fleet, acme: SandboxOrg
) -> None:
    evil = org_of(acme, login_url="https://login.evil.example", trust_hosts=["login.evil.example"])
    refused = await shell("apply", fleet.write(orgs={"acme": evil}), APP_SECRET=acme.client_secret)

    assert refused.code == 1
    assert "nobody is here to confirm it" in refused.err


async def test_one_org_that_cannot_be_enrolled_stops_no_other_and_the_next_run_goes_on(
    shell: Shell, fleet: Fleet, acme: SandboxOrg, globex: SandboxOrg, tmp_path: Path
) -> None:
    (tmp_path / "globex.token").write_text("5AepOld.Wrong")
    file = fleet.write(
        orgs={
            "acme": org_of(acme, client_secret=f"command:{sys.executable} secret.py"),
            "globex": org_of(globex, client_secret="file:globex.secret"),
            "later": {"auth": "web", "client_id": "PlatformCLI"},
        },
        principals={"ada": {"grants": ["acme:read", "globex:read", "later:read"]}},
    )
    (tmp_path / "globex.secret").write_text(globex.client_secret)
    (tmp_path / "secret.py").write_text(f"print({acme.client_secret!r})")

    no_commands = await shell("apply", file)
    none = (await shell("list-orgs", "--json")).json
    done = await shell("apply", file, "--allow-commands")
    (tmp_path / "globex.token").write_text(globex.refresh_token)
    again = await shell("apply", file)
    ada = (await shell("show-principal", "ada", "--json")).json

    assert (no_commands.code, none) == (1, [])
    assert "fleet.yaml, line 8: command:" in no_commands.lines[-2]
    assert no_commands.lines[-1].endswith("apply with --allow-commands runs it, if you trust the files")
    assert done.code == again.code == 1
    assert "acme: enrolled: " in done.err
    assert "globex: not enrolled: " in done.err, done.err
    assert "later was not enrolled: a person logs in to it: orgserver add-org later --auth web" in done.err
    assert done.lines[-1].startswith("2 of 3 orgs not enrolled; all else is done.")
    assert again.lines[-1].startswith("1 of 2 orgs not enrolled; all else is done.")
    assert {each["selector"] for each in ada["grants"]} == {"acme", "globex"}


async def test_a_secret_that_is_nowhere_or_another_org_s_stops_everything_before_it_begins(
    shell: Shell, fleet: Fleet, acme: SandboxOrg
) -> None:
    file = fleet.write(orgs={"acme": org_of(acme)}, principals={"ada": {}})

    fleet.path.with_name("programs.yaml").write_text(
        fleet.path.read_text().replace("env:APP_SECRET", "command:vault x")
    )
    programs = str(fleet.path.with_name("programs.yaml"))
    planned = [await shell("apply", programs, "--plan", *more) for more in ((), ("--allow-commands",))]
    not_set = await shell("apply", file)
    blank = await shell("apply", file, APP_SECRET=" ")
    await shell.add(acme, alias="acme-eu")
    renamed = await shell("apply", file, APP_SECRET=acme.client_secret)

    line = "Apply refuses these without --allow-commands: programs.yaml, line 8: command:vault."
    assert [line in each.err for each in planned] == [True, False]
    assert not_set.lines[-1] == "orgserver: error: fleet.yaml, line 8: env:APP_SECRET is not set"
    assert blank.lines[-1] == "orgserver: error: fleet.yaml, line 8: env:APP_SECRET is empty"
    assert renamed.lines[-2:] == [
        "orgserver: error: fleet.yaml, line 2: the credential of acme is registered already, as acme-eu",
        "orgserver: hint: if that is its new name: orgserver update-org acme-eu --rename acme",
    ]
    assert (not_set.code, blank.code, renamed.code) == (1, 1, 1)
    assert (await shell("list-principals", "--json")).json == []


async def test_the_files_of_orgserver_s_own_secrets_are_no_org_s(
    shell: Shell, fleet: Fleet, acme: SandboxOrg, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("canary\n")
    password.chmod(0o600)
    (tmp_path / "link").symlink_to(shell.home / "master.key")
    await shell.add(acme, alias="other")
    refused = [
        await shell(
            "apply",
            fleet.write(orgs={"acme": org_of(acme, client_secret=f"file:{name}")}),
            ORGSERVER_DATABASE_PASSWORD_FILE=str(password),
        )
        for name in ("link", "password")
    ]

    for each, name in zip(refused, ("link", "password"), strict=True):
        assert each.lines[-1].endswith(f"file:{name} holds a secret of orgserver's own")
        assert each.code == 1


async def test_bad_use_and_a_bad_file_leave_no_store(shell: Shell, fleet: Fleet) -> None:
    file = fleet.write(orgs={"acme": {"tag": ["eu"]}})

    codes = [
        (await shell("apply", file)).code,
        (await shell("apply", file, "--exit-code")).code,
        (await shell("apply", file, "--commit", "a b")).code,
        (await shell("apply", str(fleet.path.with_name("none.yaml")))).code,
    ]
    as_json = await shell("apply", fleet.write(principals={"ada": {"kind": "service"}}), "--plan", "--json")

    assert codes == [1, 2, 2, 1]
    assert not shell.home.exists()
    assert json.loads(as_json.out)["changes"] == [
        {
            "kind": "principal", "name": "ada", "change": "add", "file": "fleet.yaml", "line": 2,
            "details": ["kind: service"], "loosens": [], "note": None,
        }
    ]  # fmt: skip

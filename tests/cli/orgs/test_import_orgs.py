"""Many orgs at once: what is planned, what becomes of each, and that a second run does only what is missing."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from orgserver.cli.main import cli
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from tests.cli.login.fake_sf import FakeSf
from tests.cli.orgs.sheets import host, listed, planned
from tests.cli.shells import Shell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the pretend sf is a script with a shebang")


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Force:// URLs always mean https."""
    async with Sandbox.start(3, tls_folder=tmp_path) as started:
        yield started


@pytest.fixture
def initech(sandbox: Sandbox) -> SandboxOrg:
    return sandbox.orgs[2]


@pytest.fixture
def sf(tmp_path: Path, shell: Shell, sandbox: Sandbox) -> FakeSf:
    made = FakeSf(tmp_path / "bin")
    shell.env |= {"PATH": made.path, "ORGSERVER_CA_FILE": str(sandbox.ca_file), "SF_TEMP_SHOW_SECRETS": ""}
    return made


def known(sf: FakeSf, org: SandboxOrg, alias: str = "") -> None:
    url = f"force://{org.client_id}:{org.client_secret}:{org.refresh_token}@{host(org)}"
    sf.knows(org.username, url, alias=alias, orgId=org.org_id, instanceUrl=org.url)


def trusting(*orgs: SandboxOrg) -> list[str]:
    return [word for org in orgs for word in ("--trust-host", host(org))]


async def test_every_org_of_the_sf_command_is_planned_and_imported(
    shell: Shell, sf: FakeSf, acme: SandboxOrg, globex: SandboxOrg, initech: SandboxOrg
) -> None:
    known(sf, acme, "Acme Prod")
    known(sf, globex, "acme-prod")
    known(sf, initech)
    sf.knows("ci@wayne.example", None, alias="ci", method="jwt", instanceUrl="https://wayne.my.salesforce.com")
    sf.knows("x@evil.example", None, alias="evil", instanceUrl="https://evil.example")
    options = trusting(acme, globex, initech)

    asked = await shell("import-orgs", "--from-sf-cli", *options)
    untouched = (acme.counters.requests, await listed(shell), len(sf.calls))
    done = await shell("import-orgs", "--from-sf-cli", "--yes", *options)

    assert planned(asked) == [
        ["alias", "user", "instance", "what will happen"],
        ["acme-prod", acme.username, host(acme), "new (from Acme Prod)"],
        ["acme-prod-2", globex.username, host(globex), "new (acme-prod is taken)"],
        ["agent-initech-example", initech.username, host(initech), f"new (from {initech.username})"],
        [
            "ci", "ci@wayne.example", "wayne.my.salesforce.com",
            "cannot be imported: it was logged in to with a JWT, so the sf command has no refresh token",
        ],
        [
            "evil", "x@evil.example", "evil.example",
            "cannot be imported: evil.example is not one of Salesforce's own hosts (--trust-host allows one)",
        ],
    ]  # fmt: skip
    assert asked.code == 1
    assert asked.lines[0].startswith("orgserver: error: nothing was imported: nobody is here to confirm it; where ")
    assert "the copies in the sf command die with it" in asked.lines[0]
    assert asked.lines[1] == "orgserver: hint: add --yes"
    assert untouched == (0, {}, 1)
    assert done.out.startswith(asked.out)
    assert sorted(done.out.removeprefix(asked.out).splitlines()) == [
        f"acme-prod-2: imported: {globex.name}, {globex.org_id}",
        f"acme-prod: imported: {acme.name}, {acme.org_id}",
        f"agent-initech-example: imported: {initech.name}, {initech.org_id}",
    ]
    assert done.code == 1, "two of them could not be imported"
    assert done.lines[0] == "3 imported, 2 cannot be imported"
    assert "is on in 3 orgs: the copies in the sf command are dead now" in done.lines[1]
    orgs = await listed(shell)
    assert {alias: org["source"] for alias, org in orgs.items()} == {
        "acme-prod": f"sf CLI ({acme.username})",
        "acme-prod-2": f"sf CLI ({globex.username})",
        "agent-initech-example": f"sf CLI ({initech.username})",
    }
    assert orgs["acme-prod"]["login_url"] == acme.url


async def test_an_import_run_again_does_only_what_is_missing(
    shell: Shell, sf: FakeSf, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    known(sf, acme, "acme")
    known(sf, globex, "globex")
    token = globex.refresh_token
    globex.refresh_token = "5AepAnother"
    options = ("import-orgs", "--from-sf-cli", "--yes", *trusting(acme, globex))

    first = await shell(*options)
    globex.refresh_token = token
    second = await shell(*options)
    before = len(sf.calls)
    third = await shell(*options)

    assert (first.code, second.code, third.code) == (1, 0, 0)
    assert "globex: not imported: Salesforce does not take this refresh token: invalid_grant" in first.out
    assert f"acme: imported: {acme.name}" in first.out
    assert first.lines[0] == "1 imported, 1 failed"
    assert [line[-1] for line in planned(second)] == [
        "what will happen", "already registered", "new", f"globex: imported: {globex.name}, {globex.org_id}",
    ]  # fmt: skip
    assert second.lines[0] == "1 imported, 1 already registered"
    assert third.lines == ["2 already registered"]
    assert [call["argv"] for call in sf.calls[before:]] == [["org", "list", "auth", "--json"]]
    assert (acme.counters.refreshes, acme.counters.reuses) == (1, 0)


async def test_no_secret_reaches_sf_or_its_arguments(
    shell: Shell, sf: FakeSf, acme: SandboxOrg, secrets: set[str]
) -> None:
    known(sf, acme, "acme")

    await shell("import-orgs", "--from-sf-cli", "--yes", *trusting(acme), ORGSERVER_CLIENT_SECRET="CANARY")

    told = json.dumps(sf.calls)
    assert sf.calls
    assert "CANARY" not in told
    assert not any(secret in told for secret in secrets)


async def test_one_sf_runs_at_a_time_and_json_tells_everything(
    shell: Shell, sf: FakeSf, sandbox: Sandbox, acme: SandboxOrg
) -> None:
    for org in sandbox.orgs:
        known(sf, org, org.alias)
    sf.answer("linger", 0.5)
    sf.fails(f"org auth show-sfdx-auth-url --target-org={acme.username}", "NamedOrgNotFoundError", code=2)

    done = await shell("import-orgs", "--from-sf-cli", "--yes", "--json", "--tag", "sf", *trusting(*sandbox.orgs))

    assert done.code == 1
    assert not sf.met
    failed, globex, _ = done.json
    assert failed == {
        "alias": "acme",
        "source": f"sf CLI ({acme.username})",
        "username": acme.username,
        "org_id": acme.org_id,
        "instance_url": acme.url,
        "plan": "new",
        "note": None,
        "imported": False,
        "rotated": None,
        "also_known_as": [],
        "tightened": [],
        "error": f"the sf command knows no org {acme.username}",
        "hint": "those it knows: sf org list auth",
    }
    assert (globex["imported"], globex["rotated"], globex["error"]) == (True, True, None)
    assert "acme: new" in done.lines
    assert [call["argv"][-2] for call in sf.calls[1:]] == [f"--target-org={org.username}" for org in sandbox.orgs]
    assert all(org["tags"] == ["sf"] for org in (await listed(shell)).values())


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("", 2, "give either --from-sf-cli or --csv FILE"),
        ("--from-sf-cli --csv x", 2, "give either --from-sf-cli or --csv FILE"),
        ("--csv nowhere.csv", 1, "nowhere.csv: no such file or directory"),
        ("--csv x --trust-host https://x", 1, "--trust-host: a trusted host is HOST or HOST:PORT"),
        ("--csv x --hide-field Email", 2, "--hide-field: a field is named with its object, such as Contact.Email"),
        ("--from-sf-cli", 1, "the sf command printed no JSON"),
    ],
)
def test_what_cannot_be_begun_is_one_line(
    words: str, code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", FakeSf(tmp_path / "bin").path)

    refused = CliRunner().invoke(cli, ["import-orgs", *words.split()])

    assert refused.exit_code == code
    assert refused.stderr.startswith(f"orgserver: error: {told}")
    assert len(refused.stderr.splitlines()) <= 2
    assert ("hint: give the path of a CSV file, or - for" in refused.stderr) is ("nowhere.csv" in words)
    assert refused.stdout == ""


async def test_nothing_to_import_is_no_failure(shell: Shell, sf: FakeSf) -> None:
    sf.says("org list auth", [])

    nothing = await shell("import-orgs", "--from-sf-cli", "--json")
    empty = await shell("import-orgs", "--csv", "-", stdin="alias,client_id\n")

    assert (nothing.code, nothing.json) == (0, [])
    assert nothing.lines == ["There is no org in the sf command.", "Nothing to import."]
    assert (empty.code, empty.lines[0]) == (0, "There is no org in standard input.")


async def test_add_org_takes_one_log_in_of_sf_or_a_url_from_standard_input(
    shell: Shell, sf: FakeSf, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    known(sf, acme, "mine")
    known(sf, globex, "theirs")
    url = json.loads(sf.answers["org auth show-sfdx-auth-url --target-org=theirs --json"]["out"])["result"][
        "sfdxAuthUrl"
    ]

    refused = await shell("add-org", "acme", "--from-sf-cli", "mine", *trusting(acme))
    taken = await shell("add-org", "acme", "--from-sf-cli", "mine", "--yes", *trusting(acme))
    piped = await shell("add-org", "globex", "--sfdx-url-stdin", *trusting(globex), stdin=f"{url}\n")
    junk = await shell("add-org", "third", "--sfdx-url-stdin", stdin=f"{url}\n{url}\n")

    assert (refused.code, refused.lines[0].partition(";")[0]) == (
        1,
        "orgserver: error: mine was not taken: nobody is here to confirm it",
    )
    assert taken.code == 0, taken.err
    assert "the copy in sf CLI (mine) is dead now" in taken.err
    assert piped.code == 0, piped.err
    assert junk.lines[0] == "orgserver: error: standard input holds no SFDX auth URL: it has more than one line"
    assert {alias: org["source"] for alias, org in (await listed(shell)).items()} == {
        "acme": "sf CLI (mine)",
        "globex": "standard input",
    }

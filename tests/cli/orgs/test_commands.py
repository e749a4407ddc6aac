"""Registering, listing, checking, changing and removing orgs, each as a process of its own."""

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import SECONDS, Shell, credential


async def test_an_org_is_added_listed_shown_and_checked(shell: Shell, acme: SandboxOrg) -> None:
    added = await shell.add(acme, "--tag", "eu", "--tag", "pilot", "--read-only")
    listed, table = await asyncio.gather(shell("list-orgs", "--json"), shell("list-orgs"))
    shown, checked = await asyncio.gather(shell("show-org", "acme", "--json"), shell("check-org", "acme", "--json"))

    assert added.code == 0, added.err
    for told in (acme.name, acme.org_id, acme.username, acme.url, "developer", "Developer Edition", "read-only"):
        assert told in added.out
    assert "client secret: from standard input" in added.lines
    assert "refresh token: from standard input" in added.lines
    (org,) = listed.json
    assert org == {
        "alias": "acme",
        "org": "acme",
        "org_id": acme.org_id,
        "name": acme.name,
        "kind": "developer",
        "edition": "Developer Edition",
        "state": "ready",
        "cause": None,
        "problem": None,
        "held": False,
        "move": None,
        "user": {"id": acme.user_id, "username": acme.username, "time_zone": "Europe/Berlin"},
        "login_url": acme.url,
        "instance_url": acme.url,
        "trust_hosts": [acme.url.partition("://")[2]],
        "api_version": org["api_version"],
        "auth": "refresh-token",
        "identity": "shared",
        "username_from": None,
        "read_only": True,
        "keep_values": False,
        "confirm_deletes": False,
        "policy": {"read_only": True},
        "tags": ["eu", "pilot"],
        "source": "standard input",
        "created_at": org["created_at"],
        "refreshed_at": org["refreshed_at"],
        "token_dies_at": org["token_dies_at"],
    }
    assert "acme" in table.out
    assert "\x1b" not in table.out
    assert shown.json["org_id"] == acme.org_id
    assert checked.code == 0
    assert checked.json[0] | {"ok": True, "username": acme.username} == checked.json[0]


async def test_a_spent_refresh_token_is_said_to_be_dead_where_it_came_from(
    shell: Shell, acme: SandboxOrg, tmp_path: Path
) -> None:
    file = tmp_path / "single org.env"
    file.write_text(
        f"export SALESFORCE_CLIENT_ID='{acme.client_id}'  # of the app\n"
        f'SALESFORCE_CLIENT_SECRET="{acme.client_secret}"\n'
        f"SALESFORCE_REFRESH_TOKEN={acme.refresh_token}\n"
        f"SALESFORCE_INSTANCE_URL={acme.url}\n"
        "SALESFORCE_API_VERSION=v60.0\n"
    )

    added = await shell("add-org", "acme", "--env-file", str(file), "--trust-host", acme.url.partition("://")[2])

    assert added.code == 0, added.err
    assert f"client secret: from {file}" in added.lines
    assert f"the copy in {file} is dead now" in added.err
    assert "--auth web" in added.err
    (org,) = (await shell("list-orgs", "--json")).json
    assert (org["login_url"], org["api_version"]) == (acme.url, "v60.0")


async def test_secrets_come_from_the_environment(shell: Shell, acme: SandboxOrg) -> None:
    host = acme.url.partition("://")[2]

    added = await shell(
        "add-org", "acme", "--login-url", acme.url, "--trust-host", host, "--client-id", acme.client_id, "--json",
        ORGSERVER_CLIENT_SECRET=acme.client_secret, ORGSERVER_REFRESH_TOKEN=acme.refresh_token,
    )  # fmt: skip

    assert added.code == 0, added.err
    assert added.json["org_id"] == acme.org_id
    assert added.json["rotated"] is True
    assert "client secret: from ORGSERVER_CLIENT_SECRET" in added.lines
    assert "refresh token: from ORGSERVER_REFRESH_TOKEN" in added.lines


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo terminal is made the POSIX way")
async def test_on_a_terminal_secrets_are_asked_for_and_not_shown(shell: Shell, acme: SandboxOrg) -> None:
    here, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "add-org", "acme", "--auth", "refresh-token", "--login-url", acme.url,
        "--trust-host", acme.url.partition("://")[2],
        stdin=theirs, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=shell.environment(), start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    assert process.stdout is not None
    assert process.stderr is not None
    asked = b""
    async with asyncio.timeout(SECONDS):
        for question, answer in (
            (b"client id: ", acme.client_id),
            (b"public client): ", acme.client_secret),
            (b"refresh token: ", acme.refresh_token),
        ):
            asked += await process.stderr.readuntil(question)
            os.write(here, answer.encode() + b"\n")
        out, err = await process.communicate()
    os.close(here)
    shell.printed += [out.decode(), (asked + err).decode()]

    assert process.returncode == 0, err
    assert acme.org_id in out.decode()
    assert b"refresh token: from the prompt" in err


async def test_a_dead_refresh_token_makes_check_org_fail(shell: Shell, acme: SandboxOrg, globex: SandboxOrg) -> None:
    await shell.add(acme)
    await shell.add(globex)
    acme.expire_access_tokens()
    acme.refresh_token = ""

    checked = await shell("check-org", "--json")
    table = await shell("check-org")

    assert checked.code == 1
    assert [(each["alias"], each["ok"]) for each in checked.json] == [("acme", False), ("globex", True)]
    assert checked.json[0]["state"] == "needs_login"
    assert "update-org acme --auth web" in checked.json[0]["hint"]
    assert table.code == 1
    assert "expired access/refresh token" in table.out


async def test_an_org_is_renamed_disabled_limited_and_tagged(shell: Shell, acme: SandboxOrg) -> None:
    shell.let_run_unattended()
    await shell.add(acme)

    changed = await shell(
        "update-org", "acme", "--rename", "acme-eu", "--disable", "--read-only", "--tag", "old", "--json"
    )
    again = await shell("update-org", "acme-eu", "--enable", "--no-read-only", "--no-tags", "--json")
    gone = await shell("show-org", "acme")

    told = changed.json
    assert (told["alias"], told["state"], told["read_only"], told["tags"]) == ("acme-eu", "disabled", True, ["old"])
    told = again.json
    assert (told["state"], told["read_only"], told["tags"]) == ("ready", False, [])
    assert gone.code == 1
    assert gone.lines[0] == "orgserver: error: no org is registered as acme"


@pytest.mark.parametrize(("days", "told"), [(19, None), (21, "dies on"), (31, "may have died on")])
async def test_a_token_that_nobody_used_for_weeks_is_warned_of(
    shell: Shell, acme: SandboxOrg, days: int, told: str | None
) -> None:
    await shell.add(acme)
    last = datetime.now(UTC) - timedelta(days=days)
    with closing(sqlite3.connect(shell.home / "orgserver.db")) as store, store:
        store.execute("UPDATE orgs SET refreshed_at = ?", (int(last.timestamp() * 1_000_000),))

    listed, shown = await shell("list-orgs"), await shell("show-org", "acme")

    assert f"{days} days ago" in listed.out
    assert f"{last + timedelta(days=30):%Y-%m-%d}" in listed.out
    for ran in (listed, shown):
        assert (f"acme: its refresh token {told}" in ran.err) if told else (ran.err == "")
    assert "standard input" in shown.out


async def test_removing_asks_first_and_revokes(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    asked = await shell("remove-org", "acme")
    kept = (await shell("list-orgs", "--json")).json
    removed = await shell("remove-org", "acme", "--yes")

    assert asked.code == 1
    assert "--yes" in asked.err
    assert len(kept) == 1
    assert removed.code == 0
    assert "revoked" in removed.out
    assert acme.refresh_token == ""
    assert (await shell("list-orgs", "--json")).json == []


async def test_a_removed_orgs_token_can_be_kept(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    removed = await shell("remove-org", "acme", "--keep-token", "--yes")

    assert removed.code == 0
    assert acme.refresh_token != ""
    assert not any(seen.path.endswith("/revoke") for seen in acme.requests)


async def test_new_credentials_replace_old_ones_and_only_of_the_same_org(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await shell.add(acme)

    taken = await shell.add(acme)
    given = credential(globex)
    other = await shell("add-org", "acme", "--replace", "--credentials-stdin", stdin=given)
    elsewhere = await shell("add-org", "globex", "--credentials-stdin", stdin=given)
    replaced = await shell.add(acme, "--replace", "--read-only")

    assert taken.code == 1
    assert "already registered as acme" in taken.err
    assert other.code == 1
    assert "another org" in other.err
    assert elsewhere.code == 0, elsewhere.err
    assert (globex.counters.refreshes, globex.counters.reuses) == (1, 0)
    assert replaced.code == 0, replaced.err
    org, _ = (await shell("list-orgs", "--json")).json
    assert (org["org_id"], org["read_only"]) == (acme.org_id, True)


async def test_what_the_sandbox_prints_can_be_passed_on(shell: Shell, acme: SandboxOrg) -> None:
    added = await shell("add-org", "acme", "--credentials-stdin", stdin=json.dumps(acme.described()))

    assert added.code == 0, added.err


async def test_unverified_orgs_are_registered_without_asking_salesforce(shell: Shell, acme: SandboxOrg) -> None:
    added = await shell.add(acme, "--no-verify")

    assert added.code == 0, added.err
    assert acme.requests == []
    assert (await shell("check-org", "acme")).code == 0


@pytest.mark.parametrize("fault", ["/services/oauth2/token", "/services/oauth2/userinfo"])
async def test_ctrl_c_while_registering_loses_no_token(shell: Shell, acme: SandboxOrg, fault: str) -> None:
    given = credential(acme)
    delayed = acme.fault("delay", path=fault, seconds=1.5)
    process = await shell.start("add-org", "acme", "--credentials-stdin")
    assert process.stdin is not None
    process.stdin.write(given.encode())
    process.stdin.write_eof()
    async with asyncio.timeout(SECONDS):
        while delayed.times:
            await asyncio.sleep(0.01)

    process.send_signal(2)
    stopped = await shell.end(process)
    listed = await shell("list-orgs", "--json")
    again = await shell("add-org", "acme", "--credentials-stdin", stdin=given)

    assert stopped.code == 130
    assert "orgserver: error: interrupted" in stopped.lines
    assert "the same command again goes on from there" in stopped.err
    assert "Traceback" not in stopped.err
    assert listed.json == []
    assert again.code == 0, again.err
    assert (acme.counters.refreshes, acme.counters.reuses) == (1, 0)


async def test_idle_orgs_are_refreshed_for_cron(shell: Shell, acme: SandboxOrg) -> None:
    await shell("add-org", "acme", "--credentials-stdin", stdin=json.dumps(acme.credentials()))

    fresh = await shell("refresh-idle")
    listed = await shell("refresh-idle", "--json", ORGSERVER_KEEP_ALIVE_DAYS="0.0000001")

    assert (fresh.code, fresh.out) == (0, "")
    assert fresh.lines == ["No org has been idle long enough."]
    assert (listed.code, listed.json) == (0, [{"alias": "acme", "ok": True, "error": None}])

"""Each command that changes, proves, copies or shows something leaves one entry: who, what, on which org, and how it ended."""

import getpass
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import Shell, credential

ME = f"local:{getpass.getuser()}"
Entry = tuple[str, str | None, str, str | None]


async def on_record(shell: Shell, **more: str) -> list[dict[str, Any]]:
    """Every entry, the oldest first."""
    return (await shell("audit", "list", "--limit", "1000", "--json", **more)).json[::-1]


def told(entries: list[dict[str, Any]]) -> list[Entry]:
    return [(entry["action"], entry["tool"], entry["outcome"], entry["org"]) for entry in entries]


async def test_every_command_is_on_record_with_who_ran_it(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    shell.let_run_unattended()
    idle = {"ORGSERVER_KEEP_ALIVE_DAYS": "0.0000001"}
    commands: list[tuple[list[str], dict[str, str], Entry, dict[str, Any]]] = [
        (["add-org", "acme", "--credentials-stdin"], {}, ("enrol", "add-org", "succeeded", "acme"), {}),
        (["update-org", "acme", "--read-only"], {}, ("policy", "update-org", "succeeded", "acme"), {"fields": ["read_only"]}),
        (["update-org", "acme", "--no-read-only", "--tag", "eu"], {}, ("policy", "update-org", "succeeded", "acme"),
         {"fields": ["no_read_only", "tags:none->eu"], "label": "unattended"}),
        (["update-org", "acme", "--disable"], {}, ("enrol", "update-org", "succeeded", "acme"), {"fields": ["no_enabled"]}),
        (["update-org", "acme", "--enable"], {}, ("enrol", "update-org", "succeeded", "acme"), {"fields": ["enabled"]}),
        (["update-org", "acme", "--rename", "acme-eu"], {}, ("enrol", "update-org", "succeeded", "acme"),
         {"fields": ["alias"], "object": "acme-eu"}),
        (["refresh-idle"], idle, ("refresh", None, "succeeded", "acme-eu"), {"principal": "orgserver"}),
        (["rotate-key"], {}, ("key", "rotate-key", "succeeded", None), {}),
        (["rotate-key", "--reseal"], {}, ("key", "rotate-key --reseal", "succeeded", None), {}),
        (["backup", str(tmp_path / "copy.db")], {}, ("export", "backup", "succeeded", None), {"row_count": 1}),
        (["audit", "export", "--output", str(tmp_path / "log.jsonl")], {}, ("export", "audit export --format jsonl", "succeeded", None),
         {"row_count": 10}),
        (["audit", "export", "--format", "events"], {}, ("export", "audit export --format events", "succeeded", None), {}),
        (["audit", "verify"], {}, ("verify", "audit verify", "succeeded", None), {"error_code": None}),
        (["remove-org", "acme-eu", "--yes"], {}, ("enrol", "remove-org", "succeeded", "acme-eu"), {}),
    ]  # fmt: skip
    for command, settings, _, _ in commands:
        ran = await shell(*command, stdin=credential(acme), **settings)
        assert ran.code == 0, (command, ran.err)

    entries = await on_record(shell)

    assert told(entries) == [entry for _, _, entry, _ in commands]
    for found, (command, _, _, details) in zip(entries, commands, strict=True):
        expected = {"principal": ME, "error_code": None} | details
        assert {name: found[name] for name in expected} == expected, command
        if found["org"]:
            assert found["org_id"] == acme.org_id
        assert found["principal"] != ME or found["transport"] == "cli"


async def test_commands_that_only_look_leave_no_entry(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)

    for command in (
        "list-orgs",
        "show-org acme",
        "check-org acme",
        "audit list",
        "audit tail",
        "audit public-key",
        "doctor",
    ):
        ran = await shell(*command.split())
        assert ran.code == 0, (command, ran.err)

    assert told(await on_record(shell)) == [("enrol", "add-org", "succeeded", "acme")]


async def test_what_was_refused_is_on_record_with_the_reason(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg, tmp_path: Path
) -> None:
    nobodys = "5Aep-of-nobody-at-all"
    await shell("add-org", "acme", "--credentials-stdin", stdin=credential(acme, refresh_token=nobodys))
    acme.fault("close", path=".*/token")
    await shell.add(acme)  # the answer is lost
    await shell.add(acme)
    nowhere = credential(globex, login_url="http://127.0.0.1:9")
    await shell("add-org", "globex", "--credentials-stdin", "--trust-host", "127.0.0.1:9", stdin=nowhere)
    await shell("update-org", "acme", "--auth", "refresh-token", "--credentials-stdin", stdin=credential(globex))
    acme.refresh_token = ""
    acme.expire_access_tokens()
    await shell("check-org", "acme")

    entries = await on_record(shell)

    assert [(*one, entry["error_code"]) for one, entry in zip(told(entries), entries, strict=True)] == [
        ("enrol", "add-org", "rejected", "acme", "invalid_grant"),
        ("enrol", "add-org", "unknown", "acme", "NO_ANSWER"),
        ("enrol", "add-org", "succeeded", "acme", None),
        ("enrol", "add-org", "not_sent", "globex", "NO_CONNECTION"),
        ("enrol", "update-org", "denied", "acme", "ANOTHER_ORG"),
        ("refresh", None, "rejected", "acme", "needs_login"),
    ]
    assert not any(nobodys in printed for printed in shell.printed)


async def test_a_verification_that_found_something_is_on_record_as_that(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    with closing(sqlite3.connect(shell.home / "orgserver.db")) as store, store:
        store.execute("UPDATE audit_events SET principal = 'nobody' WHERE sequence = 1")

    ran = await shell("audit", "verify")

    assert ran.code == 1
    *_, last = await on_record(shell)
    assert (*told([last])[0], last["error_code"]) == ("verify", "audit verify", "succeeded", None, "AUDIT_BROKEN")


async def test_a_restored_store_says_who_put_it_in(shell: Shell, acme: SandboxOrg, tmp_path: Path) -> None:
    await shell.add(acme)
    await shell("backup", str(tmp_path / "copy.db"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "master.key").write_bytes((shell.home / "master.key").read_bytes())
    (elsewhere / "master.key").chmod(0o600)

    ran = await shell("restore", str(tmp_path / "copy.db"), ORGSERVER_HOME=str(elsewhere))

    assert ran.code == 0, ran.err
    *_, last = await on_record(shell, ORGSERVER_HOME=str(elsewhere))
    assert told([last]) == [("enrol", "restore", "succeeded", None)]
    assert (last["principal"], last["row_count"]) == (ME, 1)

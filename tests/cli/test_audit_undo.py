"""``audit undo`` and ``audit erase``, as people run them: shown first, asked, then done."""

import json
import re
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from orgserver.app import App
from orgserver.cli import audit_undo
from orgserver.cli.main import cli
from orgserver.cli.support import Failure
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import ConfigError, OperatorError
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg

Command = Callable[..., Any]


@pytest.fixture
def command(app: App, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in a thread of its own, over the app's home."""
    monkeypatch.setenv("ORGSERVER_HOME", str(app.settings.database_file.parent))

    async def run(command: click.Command, *args: str) -> Result:
        import asyncio

        return await asyncio.to_thread(CliRunner().invoke, command, args)

    return run


@pytest.fixture
async def changed(app: App, caller: Caller) -> tuple[str, str]:
    """A contact that was changed in an org that keeps values; the ids of contact and entry."""
    await app.enrolment.update(caller, "acme", policy={"keep_values": True})
    made = await app.operations.create(caller, "t", "acme", CONTACT, {"LastName": "Byron"})
    await app.operations.update(caller, "t", "acme", CONTACT, made.id, {"LastName": "King\x1b[31m"})
    return made.id, (await app.trail.newest(EntryFilter(action="update"), 1))[0].id


async def test_an_undo_is_shown_and_then_done(command: Command, acme: SandboxOrg, changed: tuple[str, str]) -> None:
    record_id, entry_id = changed

    dry = await command(audit_undo.undo, entry_id, "--dry-run")
    meanwhile = acme.records.tables["Contact"][record_id]["LastName"]
    done = await command(audit_undo.undo, entry_id, "--yes")

    assert (dry.exit_code, done.exit_code) == (0, 0)
    assert "LastName: King\\x1b[31m → Byron" in dry.output
    assert "Undo would write the old values back." in dry.output
    assert meanwhile.startswith("King")
    assert f"Undone: Contact {record_id} in acme has its old values again." in done.output
    assert acme.records.tables["Contact"][record_id]["LastName"] == "Byron"


async def test_nobody_to_ask_means_nothing_is_undone(
    command: Command, acme: SandboxOrg, changed: tuple[str, str]
) -> None:
    refused = await command(audit_undo.undo, changed[1])

    assert isinstance(refused.exception, ConfigError)
    assert acme.records.tables["Contact"][changed[0]]["LastName"].startswith("King")


async def test_what_was_changed_since_is_said_and_left(
    command: Command, acme: SandboxOrg, changed: tuple[str, str]
) -> None:
    acme.records.tables["Contact"][changed[0]]["LastName"] = "Lovelace"

    refused = await command(audit_undo.undo, changed[1], "--yes")
    forced = await command(audit_undo.undo, changed[1], "--yes", "--force")

    assert isinstance(refused.exception, Failure)
    assert "cannot be undone: changed since: LastName; --force overrules it" in refused.output
    assert forced.exit_code == 0
    assert acme.records.tables["Contact"][changed[0]]["LastName"] == "Byron"


async def test_a_dry_run_says_that_the_org_is_read_only_and_a_try_is_denied_on_record(
    app: App, caller: Caller, command: Command, changed: tuple[str, str]
) -> None:
    await app.enrolment.update(caller, "acme", policy={"read_only": True})

    dry = await command(audit_undo.undo, changed[1], "--dry-run", "--force")
    told = await command(audit_undo.undo, changed[1], "--dry-run", "--json")
    tried = await command(audit_undo.undo, changed[1], "--yes")

    assert isinstance(dry.exception, Failure)
    assert f"{changed[1]} cannot be undone: acme is read-only" in dry.output
    assert "Undo would" not in dry.output
    assert [(each["possible"], each["problem"]) for each in json.loads(told.stdout)] == [(False, "acme is read-only")]
    assert isinstance(tried.exception, Failure)
    assert "stays: acme is read-only" in tried.output
    assert [each.outcome.value for each in await app.trail.newest(EntryFilter(action="undo"), 5)] == ["denied"]


async def test_a_span_is_undone_and_told_in_json(command: Command, acme: SandboxOrg, changed: tuple[str, str]) -> None:
    span = ("--since", "1h", "--principal", "local:tester")

    told = await command(audit_undo.undo, *span, "--dry-run", "--json")
    done = await command(audit_undo.undo, "--request", "r1", "--yes")

    assert [(each["undo"], each["possible"], each["done"]) for each in json.loads(told.stdout)] == [
        ("update", True, False),
        ("delete", True, False),
    ]
    assert done.exit_code == 0
    assert changed[0] not in acme.records.tables["Contact"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "give the ID of an entry, --request, or --since with --principal"),
        (("--since", "1h"), "--since with --principal"),
        (("x", "--request", "1"), "not both"),
        (("x", "--json"), "--json does not ask"),
        (("--since", "1h", "--until", "2h", "--principal", "x"), "--until is not after --since"),
    ],
)
async def test_wrong_usage_is_said(command: Command, args: tuple[str, ...], words: str) -> None:
    refused = await command(audit_undo.undo, *args)

    assert refused.exit_code == 2
    assert words in re.sub(r"\s+", " ", refused.output)


async def test_an_unknown_entry_is_said_in_one_line(command: Command) -> None:
    refused = await command(audit_undo.undo, "nonsense")

    assert isinstance(refused.exception, OperatorError)
    assert str(refused.exception) == "there is no audit entry with this id"


@pytest.mark.parametrize(
    "which", [("--org", "acme"), ("--before", "2999-01-01"), ("--principal", "local:tester"), ("--record", "")]
)
async def test_kept_values_are_erased_on_record(
    command: Command, app: App, changed: tuple[str, str], which: tuple[str, str]
) -> None:
    which = (which[0], which[1] or changed[0])

    unasked = await command(audit_undo.erase, *which)
    erased = await command(audit_undo.erase, *which, "--yes")
    again = await command(audit_undo.erase, *which, "--yes")

    assert isinstance(unasked.exception, ConfigError)
    assert "Erased: the kept values of 2 entries." in erased.output
    assert "No kept values match." in again.output
    (entry,) = await app.trail.newest(EntryFilter(action="prune"), 5)
    assert (entry.tool, entry.row_count) == ("audit erase", 2)
    assert (await app.trail.verify()).problem is None


@pytest.mark.parametrize("args", [(), ("--record", "nonsense")])
async def test_an_erasure_says_of_what(command: Command, args: tuple[str, ...]) -> None:
    assert (await command(audit_undo.erase, *args)).exit_code == 2


async def test_keep_values_is_set_on_an_org(command: Command, app: App, caller: Caller) -> None:
    kept = await command(cli, "update-org", "acme", "--keep-values")
    assert (await app.access.visible(caller))[0].policy.keep_values
    await command(cli, "update-org", "acme", "--no-keep-values")

    assert kept.exit_code == 0
    assert not (await app.access.visible(caller))[0].policy.keep_values

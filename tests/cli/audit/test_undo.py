"""``audit undo`` and ``audit erase``, as people run them: shown first, asked, then done."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from orgserver.app import App
from orgserver.cli.audit import undo
from orgserver.cli.main import cli
from orgserver.cli.output import Failure
from orgserver.model.audit import EntryFilter
from orgserver.model.errors import ConfigError, OperatorError
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from tests import operations
from tests.cli.shells import Command, Shell


@pytest.fixture
async def changed(app: App, caller: Caller) -> tuple[str, str]:
    """A contact that was changed in an org that keeps values; the ids of contact and entry."""
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    made = await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "Byron"})
    await operations.update(app, caller, "t", "acme", CONTACT, made.id, {"LastName": "King\x1b[31m"})
    return made.id, (await app.audit_log.newest(EntryFilter(action="update"), 1))[0].id


async def test_an_undo_is_shown_and_then_done(command: Command, acme: SandboxOrg, changed: tuple[str, str]) -> None:
    record_id, entry_id = changed

    dry = await command(undo.undo, entry_id, "--dry-run")
    meanwhile = acme.records.tables["Contact"][record_id]["LastName"]
    done = await command(undo.undo, entry_id, "--yes")

    assert (dry.exit_code, done.exit_code) == (0, 0)
    assert "LastName: King\\x1b[31m → Byron" in dry.output
    assert "Undo would write the old values back." in dry.output
    assert meanwhile.startswith("King")
    assert f"Undone: Contact {record_id} in acme has its old values again." in done.output
    assert acme.records.tables["Contact"][record_id]["LastName"] == "Byron"


async def test_nobody_to_ask_means_nothing_is_undone(
    command: Command, acme: SandboxOrg, changed: tuple[str, str]
) -> None:
    refused = await command(undo.undo, changed[1])

    assert isinstance(refused.exception, ConfigError)
    assert acme.records.tables["Contact"][changed[0]]["LastName"].startswith("King")


async def test_an_undo_that_deletes_where_deletes_are_confirmed_needs_a_person_and_other_undos_do_not(
    command: Command, app: App, caller: Caller, acme: SandboxOrg, changed: tuple[str, str]
) -> None:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    (made,) = await app.audit_log.newest(EntryFilter(action="create"), 1)

    put_back = await command(undo.undo, changed[1], "--yes")
    silent = await command(undo.undo, made.id, "--yes", "--force")
    async with Shell(app.settings.home).at_terminal("audit", "undo", made.id, "--force", "--yes") as terminal:
        await terminal.answer("It deletes 1 record, where a person confirms every delete. [y/N]", "y")
        assert await terminal.end() == 0, terminal.shown

    assert put_back.exit_code == 0
    assert "nothing was undone: nobody is here to confirm it" in str(silent.exception)
    assert changed[0] not in acme.records.tables["Contact"]
    undone = await app.audit_log.newest(EntryFilter(action="undo"), 2)
    assert [each.label for each in undone] == ["typed", None]


async def test_what_an_undo_deletes_is_shown_where_it_is_confirmed(
    app: App, caller: Caller, changed: tuple[str, str]
) -> None:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    (made,) = await app.audit_log.newest(EntryFilter(action="create"), 1)
    words = ("audit", "undo", made.id, "--force")

    with Path(os.devnull).open("wb") as elsewhere:
        async with Shell(app.settings.home).at_terminal(*words, stdout=elsewhere.fileno()) as terminal:
            shown = await terminal.answer("[y/N]", "n")
            assert await terminal.end() == 1

    assert f"Contact {changed[0]} in acme: delete" in shown


async def test_what_was_changed_since_is_said_and_left(
    command: Command, acme: SandboxOrg, changed: tuple[str, str]
) -> None:
    acme.records.tables["Contact"][changed[0]]["LastName"] = "Lovelace"

    refused = await command(undo.undo, changed[1], "--yes")
    forced = await command(undo.undo, changed[1], "--yes", "--force")

    assert isinstance(refused.exception, Failure)
    assert "cannot be undone: changed since: LastName; --force overrules it" in refused.output
    assert forced.exit_code == 0
    assert acme.records.tables["Contact"][changed[0]]["LastName"] == "Byron"


async def test_a_dry_run_says_that_the_org_is_read_only_and_a_try_is_denied_on_record(
    app: App, caller: Caller, command: Command, changed: tuple[str, str]
) -> None:
    await app.registry.update(caller, "acme", policy={"read_only": True})

    dry = await command(undo.undo, changed[1], "--dry-run", "--force")
    told = await command(undo.undo, changed[1], "--dry-run", "--json")
    tried = await command(undo.undo, changed[1], "--yes")

    assert isinstance(dry.exception, Failure)
    assert f"{changed[1]} cannot be undone: acme is read-only" in dry.output
    assert "Undo would" not in dry.output
    assert [(each["possible"], each["problem"]) for each in json.loads(told.stdout)] == [(False, "acme is read-only")]
    assert isinstance(tried.exception, Failure)
    assert "stays: acme is read-only" in tried.output
    assert [each.outcome.value for each in await app.audit_log.newest(EntryFilter(action="undo"), 5)] == ["denied"]


async def test_a_span_is_undone_and_told_in_json(command: Command, acme: SandboxOrg, changed: tuple[str, str]) -> None:
    span = ("--since", "1h", "--principal", "local:tester")

    told = await command(undo.undo, *span, "--dry-run", "--json")
    dry = await command(undo.undo, *span, "--dry-run")
    done = await command(undo.undo, "--request", "r1", "--yes")

    assert [(each["undo"], each["possible"], each["done"]) for each in json.loads(told.stdout)] == [
        ("update", True, False),
        ("delete", True, False),
    ]
    title, *lines = dry.stdout.splitlines()
    assert title.split()[-3:] == ["undo", "values", "id"]
    assert [("write back" in line, "delete" in line) for line in lines] == [(True, False), (False, True)]
    assert all(changed[0] in line for line in lines)
    assert "LastName: King\\x1b[31m → Byron" in lines[0]
    assert "(empty)" not in lines[1]
    summary = "Dry run: 2 of 2 changes would be undone (1 written back, 1 deleted). Nothing was changed.\n"
    assert dry.stderr == summary
    assert done.exit_code == 0
    assert "2 of 2 changes undone (1 written back, 1 deleted)." in done.stderr
    assert changed[0] not in acme.records.tables["Contact"]


async def test_what_a_span_skips_is_told_by_reason_each_once(
    app: App, command: Command, caller: Caller, acme: SandboxOrg, changed: tuple[str, str]
) -> None:
    await app.registry.update(caller, "acme", policy={"keep_values": False})
    for name in ("One", "Two"):
        await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": name})
    acme.records.tables["Contact"][changed[0]]["LastName"] = "Lovelace"

    dry = await command(undo.undo, "--request", "r1", "--dry-run")
    forced = await command(undo.undo, "--request", "r1", "--dry-run", "--force")

    skipped, *reasons = dry.stdout.splitlines()
    assert (skipped, len(reasons)) == ("Skipped, 4 of 4:", 2)
    assert "  2  no values are kept of this create: its org did not keep them" in reasons[0]
    assert "  2  changed since: LastName (--force overrules it)" in reasons[1]
    assert "Dry run: 0 of 4 changes would be undone, 4 skipped. Nothing was changed." in dry.stderr
    assert isinstance(dry.exception, Failure)
    assert "Dry run: 2 of 4 changes would be undone (1 written back, 1 deleted), 2 skipped." in forced.stderr


async def test_undoing_a_create_reads_as_a_deletion(app: App, command: Command, changed: tuple[str, str]) -> None:
    (made,) = await app.audit_log.newest(EntryFilter(action="create"), 1)
    await command(undo.undo, changed[1], "--yes")

    dry = await command(undo.undo, made.id[:18], "--dry-run")

    assert dry.exit_code == 0
    assert "Undo would delete this record: LastName Byron." in dry.output
    assert "→" not in dry.output


async def test_the_beginning_of_an_id_is_enough_where_only_one_begins_so(
    app: App, command: Command, changed: tuple[str, str]
) -> None:
    entries = await app.audit_log.newest(EntryFilter(), 10)
    common = entries[0].id[:8]  # the same minute

    one = await command(cli, "audit", "show", changed[1][:-4].upper(), "--json")
    several = await command(cli, "audit", "show", common)
    none = await command(cli, "audit", "show", "ffff")
    touched = await command(cli, "audit", "list", "--record-id", changed[0][:14], "--json")
    nobody = await command(cli, "audit", "list", "--record-id", "003999999")

    assert json.loads(one.stdout)["id"] == changed[1]
    assert (several.exit_code, none.exit_code, nobody.exit_code) == (1, 1, 1)
    assert (
        f"{common} is the beginning of several audit entries: {min(each.id for each in entries if each.id.startswith(common))}, "
        in several.stderr
    )
    assert "there is no audit entry with this id" in none.stderr
    assert {tuple(each["record_ids"]) for each in json.loads(touched.stdout)} == {(changed[0],)}
    assert "no record in the audit log has an id that begins with 003999999" in nobody.stderr


@pytest.mark.parametrize(
    ("beginning", "undone"), [("request-7", 2), ("requ", 2), ("req", 0), ("request-70", 0)], ids=str
)
async def test_a_request_id_may_be_shortened_but_not_to_what_is_short(
    app: App, command: Command, caller: Caller, beginning: str, undone: int
) -> None:
    await app.registry.update(caller, "acme", policy={"keep_values": True})
    asked = replace(caller, request_id="request-7")
    made = await operations.create(app, asked, "t", "acme", CONTACT, {"LastName": "Byron"})
    await operations.update(app, asked, "t", "acme", CONTACT, made.id, {"LastName": "King"})

    told = await command(undo.undo, "--request", beginning, "--dry-run", "--json")

    assert len(json.loads(told.stdout)) == undone


async def test_several_requests_that_begin_so_are_named(app: App, command: Command, caller: Caller) -> None:
    for number in (1, 2):
        asked = replace(caller, request_id=f"request-{number}")
        await operations.create(app, asked, "t", "acme", CONTACT, {"LastName": "Byron"})

    refused = await command(cli, "audit", "undo", "--request", "request-", "--yes")

    assert refused.exit_code == 1
    assert "request- is the beginning of several request ids: request-1, request-2" in refused.stderr


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
    refused = await command(undo.undo, *args)

    assert refused.exit_code == 2
    assert words in re.sub(r"\s+", " ", refused.output)


async def test_an_unknown_entry_is_said_in_one_line(command: Command) -> None:
    refused = await command(undo.undo, "nonsense")

    assert isinstance(refused.exception, OperatorError)
    assert str(refused.exception) == "there is no audit entry with this id"


@pytest.mark.parametrize(
    "which",
    [
        ("--org", "acme"),
        ("--before", "2999-01-01"),
        ("--principal", "local:tester"),
        ("--record", ""),
        ("--record-id", ""),
    ],
)
async def test_kept_values_are_erased_on_record(
    command: Command, app: App, changed: tuple[str, str], which: tuple[str, str]
) -> None:
    which = (which[0], which[1] or changed[0])

    unasked, silent = await command(undo.erase, *which), await command(undo.erase, *which, "--yes")
    Shell(app.settings.home).let_run_unattended()
    erased = await command(undo.erase, *which, "--yes")
    again = await command(undo.erase, *which, "--yes")

    assert isinstance(unasked.exception, ConfigError)
    assert isinstance(silent.exception, ConfigError)
    assert "Erased: the kept values of 2 entries." in erased.output
    assert "No kept values match." in again.output
    (entry,) = await app.audit_log.newest(EntryFilter(action="prune"), 5)
    assert (entry.tool, entry.row_count, entry.label) == ("audit erase", 2, "unattended")
    assert (await app.audit_log.verify()).problem is None


@pytest.mark.parametrize("args", [(), ("--record", "nonsense")])
async def test_an_erasure_says_of_what(command: Command, args: tuple[str, ...]) -> None:
    assert (await command(undo.erase, *args)).exit_code == 2


async def test_keep_values_is_set_on_an_org(command: Command, app: App, caller: Caller) -> None:
    Shell(app.settings.home).let_run_unattended()
    kept = await command(cli, "update-org", "acme", "--keep-values")
    assert (await app.access.visible(caller))[0].policy.keep_values
    await command(cli, "update-org", "acme", "--no-keep-values")

    assert kept.exit_code == 0
    assert not (await app.access.visible(caller))[0].policy.keep_values

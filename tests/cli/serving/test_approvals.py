"""``orgserver approvals`` and ``approve``, as people run them: at a terminal, and only there."""

import json
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyotp
import pytest

from orgserver.app import App
from orgserver.cli.main import cli
from orgserver.cli.serving import approvals
from orgserver.config import read_settings
from orgserver.model.audit import AuditEntry, EntryFilter
from orgserver.model.errors import ConfigError, OperatorError, PolicyDenied
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.calls.approvals import Approving
from tests import operations
from tests.cli.shells import Shell

ALLOW = "Allow it? [y/N]"
CODE = "One-time code (Enter: no):"


@pytest.fixture
async def contact(app: App, caller: Caller) -> str:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    given = {"FirstName": "Ada", "LastName": "Lovelace\u202e"}
    return (await operations.create(app, caller, "salesforce_create_contact", "acme", CONTACT, given)).id


@pytest.fixture
def person(app: App) -> Shell:
    """Somebody with the app's home, and terminals."""
    return Shell(app.settings.home)


async def delete(app: App, caller: Caller, contact: str) -> str:
    """Try to; the code under which that waits, which the refusal does not name."""
    with pytest.raises(PolicyDenied) as refused:
        await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, contact)
    (code,) = [each.code for each in await Approving(app.store, app.access).waiting() if each.approved_at is None]
    assert code not in json.dumps(refused.value.as_json("acme"))
    assert "orgserver approvals" in str(refused.value.hint)
    assert "orgserver approve " not in str(refused.value.hint)
    return code


def deletes(org: SandboxOrg) -> int:
    return sum(seen.method == "DELETE" for seen in org.requests)


async def entries(app: App, **wanted: Any) -> list[AuditEntry]:
    return [each async for each in app.audit_log.entries(EntryFilter(**wanted))]


async def test_a_request_is_shown_at_a_terminal_approved_there_on_record_and_passes_once(
    app, acme, caller, contact, command, person
) -> None:
    code = await delete(app, caller, contact)
    (refused,) = await entries(app, outcome="denied")

    async with person.at_terminal("approvals", COLUMNS="200") as terminal:
        assert await terminal.end() == 0
    async with person.at_terminal("approve", code.lower().replace("-", "")) as terminal:
        shown = await terminal.answer(ALLOW, "y")
        assert await terminal.end() == 0
    await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, contact)

    assert code in person.printed[0]
    assert "waits until" in person.printed[0]
    for told in ("acme", "delete", "Contact", "Ada Lovelace", contact, "local:tester", "test/1", "UTC"):
        assert told in shown
    assert "\u202e" not in shown
    assert "once within 15 minutes" in terminal.shown
    assert deletes(acme) == 1
    (yes,) = await entries(app, tool="approve")
    assert (yes.action, yes.transport, yes.label) == ("policy", "cli", "typed")
    assert yes.principal.startswith("local:")
    assert (yes.principal, yes.request_id, yes.org, yes.object) == (yes.principal, refused.id, "acme", "Contact")
    assert yes.org_id == refused.org_id is not None
    assert code not in json.dumps([each.as_json() for each in await entries(app)])
    assert (await command(approvals.approvals)).stderr == "Nothing waits for approval.\n"


async def test_what_is_asked_is_shown_where_it_is_answered_also_when_the_output_goes_elsewhere(
    app, caller, contact, person
) -> None:
    code = await delete(app, caller, contact)

    with Path(os.devnull).open("wb") as elsewhere:
        async with person.at_terminal("approve", code, stdout=elsewhere.fileno()) as terminal:
            shown = await terminal.answer(ALLOW, "n")
            assert await terminal.end() == 1

    for fact in ("acme", "delete", "Contact", "Ada Lovelace", contact, "local:tester", "test/1", "UTC"):
        assert fact in shown


async def test_codes_go_to_no_pipe_and_no_json(app, caller, contact, command) -> None:
    code = await delete(app, caller, contact)

    listed, table = await command(approvals.approvals, "--json"), await command(approvals.approvals)

    (told,) = json.loads(listed.stdout)
    assert (told["org"], told["object"], told["count"], told["client"]) == ("acme", "Contact", 1, "test/1")
    assert [each.id for each in await entries(app, outcome="denied")] == [told["entry_id"]]
    assert "waits until" in table.stdout
    assert "shown at a terminal only" in table.stderr
    assert code not in listed.output + table.output


@pytest.mark.parametrize("unattended", [False, True])
async def test_without_a_person_at_a_terminal_nothing_is_approved(
    app, acme, caller, contact, command, person, unattended
) -> None:
    if unattended:
        person.let_run_unattended()
    code = await delete(app, caller, contact)

    piped = await person("approve", code, stdin="y\n")
    silent = await command(approvals.approve, code, "--yes")
    setup = await command(cli, "approvals", "setup")

    assert (piped.code, silent.exit_code, setup.exit_code) == (1, 2, 1)
    assert piped.lines[0] == "orgserver: error: nothing was approved: nobody is here to confirm it"
    assert "No such option" in silent.output
    assert "no one-time code was set up: nobody is here to confirm it" in setup.stderr
    assert await delete(app, caller, contact) == code
    assert deletes(acme) == 0


async def test_a_no_an_end_and_ctrl_c_approve_nothing(app, caller, contact, person) -> None:
    code = await delete(app, caller, contact)

    for typed, said, expected in (
        ("n\n", "nothing was approved", 1),
        ("\x04", "nothing was approved", 1),
        ("", "interrupted", 130),
    ):
        async with person.at_terminal("approve", code) as terminal:
            await terminal.until(ALLOW)
            if typed:
                terminal.write(typed)
            else:
                terminal.process.send_signal(signal.SIGINT)
            assert await terminal.end() == expected
        assert said in terminal.shown

    assert await delete(app, caller, contact) == code
    assert await entries(app, tool="approve") == []


async def test_a_code_that_is_none_unknown_or_used_is_one_clear_line(app, caller, contact, command) -> None:
    code = await delete(app, caller, contact)
    approving = Approving(app.store, app.access)
    await approving.approve(caller, await approving.one(code))

    refused = await command(approvals.approve, "AAAA-AAAA")
    assert isinstance(refused.exception, OperatorError)
    assert "no request waits under AAAA-AAAA" in str(refused.exception)
    for again in (code, code[:4]):
        refused = await command(approvals.approve, again)
        assert isinstance(refused.exception, OperatorError)
        assert re.fullmatch(
            rf"{again} is approved already, until \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC", str(refused.exception)
        )
    await operations.delete(app, caller, "salesforce_delete_contact", "acme", CONTACT, contact)
    refused = await command(approvals.approve, code)
    assert f"no request waits under {code}" in str(refused.exception)
    for wrong in ("", "7KQM-2XHD-1", "7KQM 2XHD", "../../etc"):
        refused = await command(approvals.approve, wrong)
        assert refused.exit_code == 2
        assert "it is no code; one looks like 7KQM-2XHD" in re.sub(r"\s+", " ", refused.stderr)


async def test_another_principal_does_not_profit(app, acme, caller, contact) -> None:
    approving = Approving(app.store, app.access)
    code = await delete(app, caller, contact)
    await approving.approve(caller, await approving.one(code))
    other = replace(caller, principal=replace(caller.principal, name="local:other"))

    assert await delete(app, other, contact) != code
    assert deletes(acme) == 0


async def test_what_two_terminals_answer_at_once_counts_once(app, acme, caller, contact, person) -> None:
    code = await delete(app, caller, contact)

    async with person.at_terminal("approve", code) as first, person.at_terminal("approve", code) as second:
        await first.until(ALLOW)
        await second.until(ALLOW)
        first.type("y")
        assert await first.end() == 0
        second.type("y")
        assert await second.end() == 1

    assert f"{code} is approved already, until " in second.shown
    assert len(await entries(app, tool="approve")) == 1


async def test_one_time_codes_are_set_up_and_then_asked_for_everywhere(app, acme, caller, contact, person) -> None:
    code = await delete(app, caller, contact)
    async with person.at_terminal("approvals", "setup") as terminal:
        shown = await terminal.answer("(Enter: stop):", "12 34")
        found = re.search(r"^  ((?:[A-Z2-7]{4} ?){8})$", shown, re.MULTILINE)
        assert found is not None
        totp = pyotp.TOTP(found[1].replace(" ", ""))
        assert "\u2588" in shown  # a QR code
        first = totp.now()
        shown = await terminal.answer("(Enter: stop):", "000000" if first != "000000" else "111111")
        assert "six digits" in shown
        assert "That code is wrong" in await terminal.answer("(Enter: stop):", first)
        assert await terminal.end() == 0

    async with person.at_terminal("approve", code) as terminal:  # the newest code, and then it is spent
        await terminal.answer(CODE, first)
        assert await terminal.end() == 1
        assert "nothing was approved: this one-time code was used already" in terminal.shown
    async with person.at_terminal("approve", code) as terminal:
        await terminal.answer(CODE, totp.at(int(time.time()) + 30))
        assert await terminal.end() == 0, terminal.shown
    for words in (("update-org", "acme", "--no-confirm-deletes"), ("approvals", "setup")):
        async with person.at_terminal(*words) as terminal:
            await terminal.answer(CODE, "")
            assert await terminal.end() == 1

    assert [each.label for each in await entries(app, tool="approve")] == ["code"]
    assert (await app.access.reload()).by_alias["acme"].policy.confirm_deletes
    stored = b"".join(each.read_bytes() for each in Path(person.home).iterdir() if each.is_file())
    assert totp.secret.encode() not in stored


@pytest.mark.parametrize("way", ["typed", "unattended", "refused"])
async def test_a_limit_is_set_silently_and_taken_away_by_a_person_alone(app, caller, person, way) -> None:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True, "read_only": True})
    loosen = ("update-org", "acme", "--no-confirm-deletes", "--keep-values")

    if way == "typed":
        async with person.at_terminal(*loosen) as terminal:
            question = await terminal.answer("[y/N]", "y")
            assert await terminal.end() == 0
        assert "Loosen the limits of acme (" in question
        assert question.strip().endswith(": confirm-deletes yes → no? [y/N]")
    elif way == "unattended":
        person.let_run_unattended()
        assert (await person(*loosen)).code == 0
    else:
        refused = await person(*loosen, ORGSERVER_UNATTENDED="allow")
        assert refused.code == 1
        assert "unattended is read from config.toml only" in refused.err
        assert "acme was not changed: nobody is here to confirm it" in refused.err

    policy = (await app.access.reload()).by_alias["acme"].policy
    assert (policy.confirm_deletes, policy.keep_values) == ((True, False) if way == "refused" else (False, True))
    assert policy.read_only
    assert [each.label for each in await entries(app, tool="update-org")][1:] == [] if way == "refused" else [way]


async def test_limits_that_changed_while_a_person_thought_are_not_loosened(app, caller) -> None:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    seen = (await app.registry.one("acme")).policy
    await app.registry.update(caller, "acme", policy={"read_only": True})

    with pytest.raises(OperatorError, match="were changed meanwhile"):
        await app.registry.update(caller, "acme", policy={"confirm_deletes": False}, seen=seen)

    assert (await app.access.reload()).by_alias["acme"].policy.confirm_deletes


async def test_what_takes_nothing_away_asks_nobody(app, command) -> None:
    for option in ("--confirm-deletes", "--read-only", "--no-keep-values"):
        done = await command(cli, "update-org", "acme", option)
        assert done.exit_code == 0, done.output
    assert (await app.access.reload()).by_alias["acme"].policy.limits == ("read-only", "confirm-deletes")


async def test_an_org_with_limits_is_removed_by_a_person_alone(app, caller, command, person) -> None:
    await app.registry.update(caller, "acme", policy={"read_only": True})

    refused = await command(cli, "remove-org", "acme", "--yes", "--keep-token")
    free = await command(cli, "remove-org", "globex", "--yes", "--keep-token")
    async with person.at_terminal("remove-org", "acme", "--yes", "--keep-token") as terminal:
        assert "acme is limited: read-only. Remove acme" in await terminal.answer("[y/N]", "y")
        assert await terminal.end() == 0

    assert (refused.exit_code, free.exit_code) == (1, 0)
    assert "acme was not removed: nobody is here to confirm it" in refused.stderr
    assert "--yes does not answer it" in refused.stderr
    assert (await app.access.reload()).by_alias == {}
    assert [each.label for each in await entries(app, tool="remove-org")] == [None, "typed"]


def test_unattended_is_allow_or_nothing(tmp_path) -> None:
    (tmp_path / "config.toml").write_text('unattended = "yes"\n')
    with pytest.raises(ConfigError, match="setting unattended in config.toml"):
        read_settings({"home": tmp_path}, {})
    assert read_settings({"home": tmp_path.parent / "other"}, {"ORGSERVER_UNATTENDED": "allow"}).unattended is None

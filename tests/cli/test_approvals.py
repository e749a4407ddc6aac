"""``orgserver approvals`` and ``approve``, as people run them."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from orgserver.app import App
from orgserver.cli import approvals
from orgserver.cli.main import cli
from orgserver.model.errors import ConfigError, OperatorError, PolicyDenied
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg

Command = Callable[..., Any]


@pytest.fixture
def command(app: App, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("ORGSERVER_HOME", str(app.settings.database_file.parent))

    async def run(command: click.Command, *args: str, **options: Any) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, command, args, **options)

    return run


@pytest.fixture
async def contact(app: App, caller: Caller) -> str:
    await app.enrolment.update(caller, "acme", policy={"confirm_deletes": True})
    given = {"FirstName": "Ada", "LastName": "Lovelace\u202e"}
    return (await app.operations.create(caller, "salesforce_create_contact", "acme", CONTACT, given)).id


async def delete(app: App, caller: Caller, contact: str) -> str:
    """Try to; the code that the refusal names."""
    with pytest.raises(PolicyDenied) as refused:
        await app.operations.delete(caller, "salesforce_delete_contact", "acme", CONTACT, contact)
    assert refused.value.hint is not None
    return refused.value.hint.partition("orgserver approve ")[2][:9]


def deletes(org: SandboxOrg) -> int:
    return sum(seen.method == "DELETE" for seen in org.requests)


async def test_a_request_is_listed_approved_and_passes_once(app, acme, caller, contact, command) -> None:
    code = await delete(app, caller, contact)

    listed = json.loads((await command(approvals.approvals, "--json")).stdout)
    table = (await command(approvals.approvals)).stdout
    done = await command(approvals.approve, code, "--yes")
    waiting = json.loads((await command(approvals.approvals, "--json")).stdout)
    await app.operations.delete(caller, "salesforce_delete_contact", "acme", CONTACT, contact)

    assert [(each["code"], each["org"], each["object"], each["count"]) for each in listed] == [
        (code, "acme", "Contact", 1)
    ]
    assert listed[0]["principal"] == "local:tester"
    assert code in table and "waits until" in table
    for told in ("acme", "delete", "Contact", "Ada Lovelace", contact):
        assert told in done.stdout
    assert "\u202e" not in done.stdout
    assert "once within 15 minutes" in done.stderr
    assert waiting[0]["approved_at"] is not None
    assert deletes(acme) == 1
    assert (await command(approvals.approvals)).stderr == "Nothing waits for approval.\n"


async def test_without_anybody_to_ask_nothing_is_approved(app, acme, caller, contact, command) -> None:
    code = await delete(app, caller, contact)

    refused = await command(approvals.approve, code)

    assert isinstance(refused.exception, ConfigError)
    assert await delete(app, caller, contact) == code
    assert deletes(acme) == 0


@pytest.mark.parametrize("answer", [True, False])
async def test_a_person_on_a_terminal_is_asked(app, acme, caller, contact, command, monkeypatch, answer) -> None:
    code = await delete(app, caller, contact)
    monkeypatch.setattr("orgserver.cli.approvals.sys", type("", (), {"stdin": type("", (), {"isatty": lambda: True})}))
    monkeypatch.setattr(click, "confirm", lambda *_a, **_k: answer)

    asked = await command(approvals.approve, code)

    assert (asked.exit_code == 0) is answer
    if answer:
        await app.operations.delete(caller, "salesforce_delete_contact", "acme", CONTACT, contact)
    assert deletes(acme) == int(answer)


async def test_an_unknown_or_used_code_is_one_clear_line(app, caller, contact, command) -> None:
    code = await delete(app, caller, contact)
    await command(approvals.approve, code, "--yes")

    for wrong in ("AAAA-AAAA", code):
        refused = await command(approvals.approve, wrong, "--yes")
        assert isinstance(refused.exception, OperatorError)
        assert f"no request waits under {wrong}" in str(refused.exception)


async def test_another_principal_does_not_profit(app, acme, caller, contact, command) -> None:
    code = await delete(app, caller, contact)
    await command(approvals.approve, code, "--yes")
    other = replace(caller, principal=replace(caller.principal, name="local:other"))

    assert await delete(app, other, contact) != code
    assert deletes(acme) == 0


async def test_the_policy_is_set_and_taken_back_by_update_org(app, command) -> None:
    for option, expected in (("--confirm-deletes", True), ("--no-confirm-deletes", False)):
        done = await command(cli, "update-org", "acme", option)
        assert done.exit_code == 0, done.output
        assert (await app.access.reload()).by_alias["acme"].policy.confirm_deletes is expected

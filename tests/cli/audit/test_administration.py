"""What the log says of people, grants, keys and policies that were changed: what it was, and what it became."""

import csv
import io
import json

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.errors import CallError
from orgserver.model.orgs import Caller
from orgserver.sandbox.org import SandboxOrg
from tests import operations
from tests.cli.shells import Shell


async def _shown(shell: Shell, id_: str) -> list[str]:
    lines = (await shell("audit", "show", id_)).out.splitlines()
    return [line.removeprefix("changed: ") for line in lines if line.startswith("changed: ")]


async def test_every_change_of_who_may_what_is_found_and_says_what_it_was(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    await shell("add-group", "ops", "--grant", "tag:eu:read")
    await shell("add-principal", "ada", "--group", "ops", "--grant", "acme:read,write")
    await shell("update-principal", "ada", "--grant", "acme:read", "--new-key", "--disable")
    await shell("update-org", "acme", "--row-limit", "50", "--read-only")

    entries = {
        action: (await shell("audit", "list", "--json", "--action", action)).json
        for action in ("grant", "policy", "key")
    }
    lines = (await shell("audit", "export", "--format", "csv", "--action", "grant")).out
    exported = [row["fields"] for row in csv.DictReader(io.StringIO(lines))]
    shown = {
        action: [line for entry in reversed(some) for line in await _shown(shell, entry["id"])]
        for action, some in entries.items()
    }

    assert shown["grant"] == [
        "group none → exists",
        "tag:eu none → read",
        "kind none → person",
        "state none → enabled",
        "groups none → ops",
        "acme none → read,write",
        "state enabled → disabled",
        "acme read,write → read",
    ]
    assert [line.partition(" ")[2] for line in shown["key"][-1:]] == ["none → active"]
    assert shown["policy"] == ["row_limit none → 50"]
    assert {entry["object"] for entry in entries["grant"]} == {"ops", "ada"}
    assert "acme:read,write->read" in exported
    assert (await shell("audit", "verify")).code == 0


async def test_the_entry_of_a_denied_call_names_the_rule_and_the_agent_is_told_nothing_of_it(
    shell: Shell, acme: SandboxOrg
) -> None:
    await shell.add(acme, "--hide-field", "Contact.Email")
    await shell("add-principal", "ada", "--grant", "acme:read")
    ada = Caller(Principal("ada"), "stdio")
    told = []
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        for alias, soql in (("acme", "SELECT Id FROM Contact WHERE Email = 'x'"), ("acne", "SELECT Id FROM Contact")):
            try:
                await operations.query(app, ada, "salesforce_query", alias, soql)
            except CallError as error:
                told.append(json.dumps(error.as_json(alias)))

    denied = (await shell("audit", "list", "--json", "--decision", "", "--principal", "ada")).json
    hidden = (await shell("audit", "list", "--json", "--decision", "policy:hide-field Contact.Email")).json

    assert [entry["decision"] for entry in denied] == ["no grant", "policy:hide-field Contact.Email"]
    assert [entry["outcome"] for entry in hidden] == ["denied"]
    assert not any("policy:hide-field" in text or "no grant" in text for text in told)

"""``serve --principal NAME``: a server that has NAME's grants and no more, in every process from the next call on."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mcp.client import Client

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.access.policies import Policy
from orgserver.sandbox.org import SandboxOrg
from tests.cli.serving.test_serve import connected, told
from tests.cli.shells import Shell
from tests.people import add_principal, add_principal_at, change_principal

INITIALIZE = json.dumps(
    {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("adda", "there is no principal adda"),
        ("off", "off is disabled"),
        ("over", "the last grant of over ended at"),
        ("local:ada", "local:ada is no principal"),
    ],
)
async def test_a_server_starts_for_nobody_who_may_not_call(
    shell: Shell, acme: SandboxOrg, name: str, line: str
) -> None:
    await shell.add(acme)
    async with open_app(read_settings({"home": shell.home}, {})) as app:
        await add_principal(app, "ada", "acme:read")
        await add_principal(app, "off", "acme:read", enabled=False)
        await add_principal(app, "over", "acme:read", until=datetime.now(UTC) + timedelta(milliseconds=50))

    refused = await shell("serve", "--principal", name, stdin=INITIALIZE + "\n")

    assert refused.code == 1
    assert refused.out == ""  # nobody was answered anything
    assert sum("orgserver: error:" in each for each in refused.lines) == 1
    assert f"orgserver: error: {line}" in refused.err
    assert ("did you mean ada?" in refused.err) is (name == "adda")


async def orgs_of(client: Client) -> dict[str, list[str]]:
    orgs = told(await client.call_tool("salesforce_list_orgs", {}))["orgs"]
    return {org["org"]: org["permissions"] for org in orgs}


async def list_contacts(client: Client, org: str) -> dict[str, Any]:
    return told(await client.call_tool("salesforce_list_contacts", {"org": org}))


async def create_contact(client: Client, org: str) -> dict[str, Any]:
    arguments = {"org": org, "data": {"LastName": "Lovelace"}}
    return told(await client.call_tool("salesforce_create_contact", arguments))


async def test_two_servers_on_one_store_have_the_grants_of_their_principals_as_they_are(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await shell.add(acme)
    await shell.add(globex)
    await add_principal_at(shell.home, "ada", "acme:read")
    await add_principal_at(shell.home, "bob", "*:read,write", limits=Policy(read_only=True))

    async with (
        connected(shell, "--principal", "ada") as ada,
        connected(shell, "--principal", "bob") as bob,
        open_app(read_settings({"home": shell.home}, {})) as operator,
    ):
        assert await orgs_of(ada) == {"acme": ["read"]}
        assert await orgs_of(bob) == {"acme": ["read"], "globex": ["read"]}
        assert (await list_contacts(ada, "acme"))["records"]
        assert (await list_contacts(ada, "globex"))["error"]["code"] == "UNKNOWN_ORG"
        assert (await create_contact(ada, "acme"))["error"]["code"] == "FORBIDDEN"
        assert (await create_contact(bob, "acme"))["error"]["code"] == "READ_ONLY"

        await change_principal(operator, "ada", "acme:read,write", "globex:read")
        assert (await create_contact(ada, "acme"))["id"]
        assert (await list_contacts(ada, "globex"))["records"]
        assert await orgs_of(ada) == {"acme": ["read", "write"], "globex": ["read"]}

        await change_principal(operator, "bob", limits=Policy())
        assert (await create_contact(bob, "globex"))["id"]
        await change_principal(operator, "bob", enabled=False)
        assert (await create_contact(bob, "globex"))["error"]["code"] == "UNKNOWN_ORG"
        assert await orgs_of(bob) == {}
        assert await orgs_of(ada) == {"acme": ["read", "write"], "globex": ["read"]}
        ada_calls = (await shell("audit", "list", "--principal", "ada", "--json")).json

    assert {(each["org"], each["outcome"], each["decision"]) for each in ada_calls} == {
        ("acme", "succeeded", None), ("acme", "denied", "permission:write"),
        ("globex", "succeeded", None), ("globex", "denied", "no grant"),
    }  # fmt: skip


async def test_a_server_without_any_org_for_its_principal_says_so_to_its_operator(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await shell.add(acme)
    await shell.add(globex)
    await add_principal_at(shell.home, "ada", "acme:read")
    warning = "ada may use none of the orgs of this server"

    nothing = await shell("serve", "--principal", "ada", "--org", "globex", stdin=INITIALIZE + "\n")
    something = await shell("serve", "--principal", "ada", stdin=INITIALIZE + "\n")

    assert (nothing.code, something.code) == (0, 0)
    assert (warning in nothing.err, warning in something.err) == (True, False)
    assert warning not in nothing.out

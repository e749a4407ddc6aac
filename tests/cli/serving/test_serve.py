"""``serve`` as a client starts it, and ``demo``, which does the same for people."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from orgserver.sandbox.org import SandboxOrg
from tests.cli.shells import SECONDS, Shell
from tests.people import add_principal_at


@asynccontextmanager
async def connected(shell: Shell, *args: str, **env: str) -> AsyncIterator[Client]:
    """The SDK's own client on a real server; what the server logs is kept for the search for secrets."""
    log = shell.home.parent / f"server-{time.monotonic_ns()}.log"
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "orgserver", "serve", *args], env=shell.environment(**env)
    )
    with log.open("w") as errors:
        async with Client(stdio_client(parameters, errlog=errors)) as client:
            yield client
    shell.printed.append(log.read_text())


def told(result: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(result.content[0].text)
    return read


async def test_from_add_org_to_audit_export(shell: Shell, acme: SandboxOrg, globex: SandboxOrg) -> None:
    await shell.add(acme)
    await add_principal_at(shell.home, "agent-7", "*:read,write")
    async with connected(shell, "--label", "try", "--principal", "agent-7") as client:
        made = told(
            await client.call_tool("salesforce_create_contact", {"org": "acme", "data": {"LastName": "Lovelace"}})
        )
        unknown = await client.call_tool("salesforce_list_contacts", {"org": "globex"})
        await shell.add(globex)
        known = await client.call_tool("salesforce_list_contacts", {"org": "globex"})
        await shell("update-org", "globex", "--disable")
        disabled = await client.call_tool("salesforce_list_contacts", {"org": "globex"})
        await shell("remove-org", "globex", "--yes")
        removed = await client.call_tool("salesforce_list_contacts", {"org": "globex"})

    exported = await shell("audit", "export", "--tool", "salesforce_create_contact")

    (entry,) = map(json.loads, exported.out.splitlines())
    assert entry["record_ids"] == [made["id"]]
    assert (entry["principal"], entry["label"], entry["transport"]) == ("agent-7", "try", "stdio")
    assert told(unknown)["error"]["category"] == "unknown_org"
    assert not known.is_error
    assert disabled.is_error
    assert told(removed)["error"]["category"] == "unknown_org"


async def test_a_server_offers_only_what_it_was_started_for(shell: Shell, acme: SandboxOrg, globex: SandboxOrg) -> None:
    await shell.add(acme)
    await shell.add(globex)

    async with connected(shell, "--org", "acme", "--read-only", "--toolset", "contacts,orgs") as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        orgs = told(await client.call_tool("salesforce_list_orgs", {}))["orgs"]

    assert sorted(tools) == [
        "salesforce_get_contact", "salesforce_limits", "salesforce_list_contacts", "salesforce_list_orgs",
    ]  # fmt: skip
    assert [(org["org"], org["read_only"]) for org in orgs] == [("acme", True)]


async def test_the_environment_says_what_is_offered_and_options_win_over_it(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    shell.env |= {
        "ORGSERVER_TOOLSETS": "contacts, query", "ORGSERVER_TOOLS": "salesforce_list_orgs", "ORGSERVER_READ_ONLY": "true",
        "ORGSERVER_EXCLUDE_TOOLS": "salesforce_search,salesforce_get_contact", "ORGSERVER_ORGS": "acme",
    }  # fmt: skip

    async with connected(shell) as client:
        by_environment = {tool.name for tool in (await client.list_tools()).tools}
        orgs = told(await client.call_tool("salesforce_list_orgs", {}))["orgs"]
    async with connected(shell, "--tool", "salesforce_search,salesforce_query", ORGSERVER_EXCLUDE_TOOLS="") as client:
        by_options = {tool.name for tool in (await client.list_tools()).tools}
    refused = await shell("serve", ORGSERVER_ORGS="acme,globex")
    wrong = await shell("serve", ORGSERVER_ORGS="acme,Globex")

    assert by_environment == {"salesforce_query", "salesforce_list_contacts", "salesforce_list_orgs"}
    assert [(org["org"], org["read_only"]) for org in orgs] == [("acme", True)]
    assert by_options == {"salesforce_search", "salesforce_query"}
    assert "orgserver: error: ORGSERVER_ORGS: globex: no org is registered as globex" in refused.lines
    assert refused.code == wrong.code == 1
    assert "setting ORGSERVER_ORGS" in wrong.err


async def test_an_org_that_is_not_registered_cannot_be_served(shell: Shell) -> None:
    for extra in ([], ["--sandbox"]):
        refused = await shell("serve", "--org", "hooli", *extra)

        assert refused.code == 1
        assert refused.out == ""
        assert "orgserver: error: --org hooli: no org is registered as hooli" in refused.lines


async def test_a_server_for_an_org_that_was_renamed_or_removed_says_what_to_do(
    shell: Shell, acme: SandboxOrg, globex: SandboxOrg
) -> None:
    await shell.add(acme)
    await shell.add(globex)

    renamed = await shell("update-org", "globex", "--rename", "hooli-eu")
    under_the_old_name = await shell("serve", "--org", "acme,globex")
    removed = await shell("remove-org", "hooli-eu", "--yes", "--keep-token")
    without_it = await shell("serve", "--org", "hooli-eu")
    unchanged = await shell("update-org", "acme", "--rename", "acme")

    assert "A client whose server is for --org globex cannot start it any more" in renamed.err
    assert "A client whose server is for --org hooli-eu cannot start it any more" in removed.err
    assert "cannot start it" not in unchanged.err
    assert under_the_old_name.code == without_it.code == 1
    assert "--org globex: no org is registered as globex" in under_the_old_name.err
    assert "hint: that org is called hooli-eu now: orgserver connect the client again" in under_the_old_name.err
    assert "hint: it was removed: orgserver connect the client again, without it" in without_it.err


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.2, 0.4])
async def test_ctrl_c_while_a_server_starts_ends_it_well(shell: Shell, seconds: float) -> None:
    async with shell.at_terminal("serve") as terminal:
        await terminal.until("Ctrl-C ends this")
        await asyncio.sleep(seconds)
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.end() == 0, terminal.shown

    assert "interrupted" not in terminal.shown
    assert "Traceback" not in terminal.shown


async def test_the_playground_leaves_the_real_home_alone(shell: Shell, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    async with connected(
        shell,
        "--sandbox",
        TMPDIR=str(temporary),
        ORGSERVER_MASTER_KEY_COMMAND="false",
        ORGSERVER_PROXY="http://127.0.0.1:9",
    ) as client:
        orgs = told(await client.call_tool("salesforce_list_orgs", {}))["orgs"]
        found = told(await client.call_tool("salesforce_list_contacts", {"org": "globex"}))

    assert [org["org"] for org in orgs] == ["acme", "globex"]
    assert found["total_size"] > 0
    assert not shell.home.exists()
    assert list(temporary.iterdir()) == []


async def test_sigterm_ends_a_server_well(shell: Shell, acme: SandboxOrg) -> None:
    await shell.add(acme)
    process = await shell.start("serve", ORGSERVER_LOG_FORMAT="json", ORGSERVER_LOG_LEVEL="debug")
    assert process.stdin is not None
    assert process.stdout is not None
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    process.stdin.write(json.dumps(request).encode() + b"\n")
    async with asyncio.timeout(SECONDS):
        answer = json.loads(await process.stdout.readline())
    limits = Path(f"/proc/{process.pid}/limits")
    core = [line.split()[4:6] for line in limits.read_text().splitlines() if "core" in line] if limits.exists() else []

    process.terminate()
    ended = await shell.end(process)

    assert answer["result"]["serverInfo"]["name"] == "orgserver"
    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert core in ([], [["0", "0"]])
    assert all(set(json.loads(line)) >= {"time", "level", "logger", "message"} for line in ended.lines)


async def test_the_sandbox_ends_well_and_says_where_it_is(shell: Shell) -> None:
    process = await shell.start("sandbox", "--orgs", "3", "--tls")
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        up = await process.stderr.readline()

    process.terminate()
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate()

    described = json.loads(out)
    assert up == b"The sandbox is up. Ctrl-C ends it.\n"
    assert process.returncode == 0
    assert [org["alias"] for org in described["orgs"]] == ["acme", "globex", "initech"]
    assert all(org["url"].startswith("https://127.0.0.1:") for org in described["orgs"])
    assert "ca_file" in described


async def test_the_demo_holds_and_leaves_nothing(shell: Shell, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    done = await shell("demo", "--json", TMPDIR=str(temporary))

    assert done.code == 0, done.out + done.err
    assert done.json["ok"] is True
    assert len(done.json["steps"]) > 20
    assert all(set(step) == {"name", "ok", "ms", "detail"} and step["ok"] for step in done.json["steps"])
    assert {entry["outcome"] for entry in done.json["audit"]} == {"succeeded", "rejected", "denied"}
    assert not shell.home.exists()
    assert list(temporary.iterdir()) == []


async def test_the_demo_is_readable_without_a_terminal(shell: Shell) -> None:
    done = await shell("demo")

    assert done.code == 0, done.out + done.err
    assert "\x1b" not in done.out
    assert "✓ one org cannot see another's record" in done.out
    assert "✗" not in done.out

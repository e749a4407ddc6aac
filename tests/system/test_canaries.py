"""No secret and no field value is left anywhere it does not belong: one whole life of a store, then a search of everything."""

import base64
import json
import os
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from orgserver.sandbox.server import Sandbox

VALUE = "Canarywood-Featherstonehaugh"
PIECE = 12


def spellings(secret: str) -> Iterator[bytes]:
    """The secret raw, in base64, URL-encoded, and every piece of it that is long enough to matter."""
    raw = secret.encode()
    yield base64.b64encode(raw)
    yield base64.urlsafe_b64encode(raw).rstrip(b"=")
    yield urllib.parse.quote(secret, safe="").encode()
    yield raw.hex().encode()
    for start in range(max(1, len(raw) - PIECE + 1)):
        yield raw[start : start + PIECE]


def sessions(tokens: set[str]) -> set[str]:
    """The secret part of access tokens: what stands before the exclamation mark is the org's id."""
    return {token.partition("!")[2] for token in tokens}


def hits(secrets: set[str], places: dict[str, bytes]) -> list[str]:
    return [
        f"{place} holds {len(spelling)} bytes of a secret"
        for secret in secrets
        for spelling in set(spellings(secret))
        for place, content in places.items()
        if spelling in content
    ]


def test_the_search_itself_finds_a_secret_in_every_spelling() -> None:
    secret = "5Aep861abcdefghijklmnopqrstuvwxyz"

    for text in (secret, base64.b64encode(secret.encode()).decode(), secret[7:25], urllib.parse.quote(secret)):
        assert hits({secret}, {"here": f"…{text}…".encode()})
    assert not hits({secret}, {"here": b"nothing of the kind"})


async def orgserver(home: Path, *args: str, stdin: str = "") -> dict[str, bytes]:
    """Run a command; its output by name."""
    import asyncio

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orgserver",
        *args,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"ORGSERVER_HOME": str(home), "ORGSERVER_LOG_LEVEL": "debug"},
    )
    out, err = await process.communicate(stdin.encode())
    return {f"{' '.join(args)} stdout": out, f"{' '.join(args)} stderr": err}


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_nothing_secret_is_left_anywhere(tmp_path: Path, sandbox: Sandbox, log_format: str) -> None:
    home, places, secrets = tmp_path / "home", {}, set()
    acme = sandbox.orgs[0]
    for org in sandbox.orgs:
        secrets |= {org.client_secret, org.refresh_token}
        places |= await orgserver(
            home, "add-org", org.alias, "--credentials-stdin", stdin=json.dumps(org.credentials())
        )
    places |= await orgserver(
        home,
        "add-org",
        "wrong",
        "--credentials-stdin",
        stdin=json.dumps(acme.credentials() | {"client_secret": "Wr0ngSecretWr0ngSecret"}),
    )
    secrets.add("Wr0ngSecretWr0ngSecret")
    environment = os.environ | {
        "ORGSERVER_HOME": str(home),
        "ORGSERVER_LOG_LEVEL": "debug",
        "ORGSERVER_LOG_FORMAT": log_format,
    }
    server = StdioServerParameters(command=sys.executable, args=["-m", "orgserver", "serve"], env=environment)
    log = (tmp_path / "serve.log").open("w+b")
    results: list[str] = []
    async with Client(stdio_client(server, errlog=log)) as client:  # type: ignore[arg-type]

        async def call(tool: str, **arguments: object) -> None:
            results.append((await client.call_tool(tool, arguments)).model_dump_json())

        await call("salesforce_create_contact", org="acme", data={"LastName": VALUE}, idempotency_key="once")
        acme.expire_access_tokens()
        await call("salesforce_list_contacts", org="acme", limit=1)
        await call("salesforce_query", org="acme", soql=f"SELECT Id FROM Contact WHERE LastName = '{VALUE}'")
        await call("salesforce_list_contacts", org="acme", filter={"LastName": {"contains": VALUE}})
        await call("salesforce_create_contact", org="acme", data={"LastName": VALUE * 10})
        await call("salesforce_create_contact", org="acme", data={"LastName": 5, VALUE: VALUE})
        acme.fault("close", path=".*/sobjects/Contact", work=True)
        await call("salesforce_create_contact", org="acme", data={"LastName": VALUE})
        acme.fault("html", path=".*/query", times=9)
        await call("salesforce_list_contacts", org="acme")
        secrets |= sessions(acme.access_tokens) | acme.spent | {acme.refresh_token}
        acme.refresh_token = ""
        acme.expire_access_tokens()
        await call("salesforce_list_contacts", org="acme")
        await call("salesforce_list_orgs")
    log.seek(0)
    places["serve stderr"] = log.read()
    log.close()
    for command in (
        ["list-orgs"],
        ["list-orgs", "--json"],
        ["show-org", "acme", "--json"],
        ["check-org"],
        ["audit", "list", "--limit", "100"],
        ["audit", "export"],
        ["audit", "export", "--format", "csv"],
        ["audit", "export", "--format", "events"],
        ["audit", "verify", "--json"],
    ):
        places |= await orgserver(home, *command)
    for org in sandbox.orgs:
        secrets |= sessions(org.access_tokens) | org.spent | {org.refresh_token}
    secrets.discard("")
    files = {str(file): file.read_bytes() for file in home.rglob("*") if file.is_file() and file.name != "master.key"}
    key = (home / "master.key").read_text().strip()

    assert len(results) == 10 and b"call" in places["serve stderr"]
    assert not hits(secrets | {key}, places | files | {"results": "".join(results).encode()})
    for place, content in (places | files).items():
        assert VALUE.encode() not in content, place


async def test_no_child_and_no_argument_list_holds_a_secret(tmp_path: Path, sandbox: Sandbox) -> None:
    """What other users of the machine may see of a running server: its arguments."""
    import asyncio

    acme = sandbox.orgs[0]
    home = tmp_path / "home"
    await orgserver(home, "add-org", "acme", "--credentials-stdin", stdin=json.dumps(acme.credentials()))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orgserver",
        "serve",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"ORGSERVER_HOME": str(home)},
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"{}\n")
    assert await process.stdout.readline()  # it serves
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes() if sys.platform == "linux" else b"orgserver serve"
    process.stdin.close()
    await process.wait()

    assert b"serve" in arguments
    assert not hits({acme.client_secret, acme.refresh_token}, {"argv": arguments})

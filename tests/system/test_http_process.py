"""A real server process over HTTP, from its start to its end by a signal, and no secret in anything it says."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from orgserver.app import App
from orgserver.model.access.api_keys import make_api_key
from orgserver.model.access.principals import Subject
from orgserver.model.audit import EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.services.people.requests import KeyChanges
from tests.faults.http_process import HttpProcess, serving_http
from tests.oauth.issuers import AUDIENCE
from tests.people import OPERATOR, add_principal, principal_changes
from tests.serving.over_http.issuer import RunningIssuer, running_issuer
from tests.serving.over_http.test_ending import CREATE, begin_create, result_of
from tests.system.test_canaries import VALUE, hits, sessions
from tests.telemetry.test_prometheus import read

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


async def make_key(app: App, name: str, *grants: str, **more: Any) -> str:
    changes = principal_changes(*grants, keys=KeyChanges(new=True), **more)
    changed = await app.people.principals.add(OPERATOR, name, changes)
    assert changed.key is not None
    return changed.key.text.reveal()


async def outcomes(app: App) -> list[tuple[Outcome, str | None]]:
    return [(e.outcome, e.transport) async for e in app.audit_log.entries(EntryFilter(action="create"))]


def secrets_of(orgs: list[SandboxOrg]) -> set[str]:
    """What those orgs have given out or taken."""
    secrets = {secret for org in orgs for secret in (org.client_secret, org.refresh_token, *org.spent)}
    return (secrets | sessions({token for org in orgs for token in org.access_tokens})) - {""}


async def work(served: HttpProcess, key: str, mode: str) -> list[str]:
    """Calls of one client, in one generation of the protocol: what it was answered."""
    async with (
        served.client(key) as http,
        Client(streamable_http_client(f"{served.url}/mcp", http_client=http), mode=mode) as client,
    ):
        answers = [
            await client.list_tools(),
            *[
                await client.call_tool(tool, {"org": "acme"} | arguments)
                for tool, arguments in (
                    ("salesforce_list_contacts", {"limit": 1}),
                    ("salesforce_create_contact", {"data": {"LastName": VALUE}}),
                    ("salesforce_create_contact", {"data": {"LastName": VALUE * 10}}),
                    ("salesforce_query", {"soql": f"SELECT Id FROM Contact WHERE LastName = '{VALUE}'"}),
                    ("salesforce_query", {"soql": f"SELECT Id FROM Contact WHERE LastName = '{VALUE}"}),
                )
            ],
        ]
    return [answer.model_dump_json() for answer in answers]


async def revoke_key(home: Path, principal: str, key_id: str) -> bytes:
    """As an operator does, while the server runs; what is printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orgserver", "update-principal", principal, "--revoke-key", key_id,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"ORGSERVER_HOME": str(home)},
    )  # fmt: skip
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed
    return printed


@pytest.fixture
async def issuer() -> AsyncIterator[RunningIssuer]:
    async with running_issuer() as running:
        yield running


async def test_a_life_of_a_server_with_keys_and_tokens_leaves_no_secret_anywhere(
    app: App, sandbox: Sandbox, acme: SandboxOrg, issuer: RunningIssuer, tmp_path: Path
) -> None:
    home, wrong = tmp_path / "home", make_api_key().reveal()
    key, admin = await make_key(app, "ada", "acme:read,write"), await make_key(app, "root", roles=("admin",))
    await add_principal(app, "cyd", "acme:read", subjects=(Subject(issuer.url, "ada@idp"),))
    token, expired = issuer.token(), issuer.token(exp=1_000_000_000)
    secrets, places = {key, admin, wrong, token, expired}, {}
    settings = {"ORGSERVER_LOG_LEVEL": "debug", "ORGSERVER_LOG_FORMAT": "json"}
    options = ("--metrics", "127.0.0.1:0", "--oauth-issuer", issuer.url, "--oauth-audience", AUDIENCE)
    async with serving_http(home, *options, **settings) as served:
        for mode in ("legacy", "2026-07-28"):
            places[mode] = "".join(await work(served, key, mode)).encode()
            secrets |= secrets_of(sandbox.orgs)
            acme.expire_access_tokens()
        async with served.client(token) as cyd, served.client(expired) as late:
            by_token = [await each.post("/mcp", json=CREATE) for each in (cyd, late)]
        async with served.client(key) as client, served.client(wrong) as stranger, served.client(admin) as root:
            refused = await stranger.post(f"/mcp?key={wrong}", json=CREATE)
            figures = await root.get("/metrics")
            apart = await root.get(served.find_figures())
            ready = await root.get("/readyz")
            before = await client.post("/mcp", json=CREATE)
            (record,) = [each for each in await app.people.principals.all() if each.name == "ada"]
            places["update-principal"] = await revoke_key(home, "ada", record.keys[0].id)
            after = await client.post("/mcp", json=CREATE)
        served.process.send_signal(signal.SIGTERM)
        assert await served.read_end() == 0

    assert [reply.status_code for reply in (refused, figures, apart, ready, before, after)] == [
        401, 200, 200, 200, 200, 401,
    ]  # fmt: skip
    assert [reply.status_code for reply in by_token] == [200, 401]
    assert result_of(by_token[0])["isError"]  # she may only read
    assert ready.json() == {"ready": True, "problems": []}
    done = [entry async for entry in app.audit_log.entries(EntryFilter(action="create", outcome=Outcome.SUCCEEDED))]
    assert [(entry.principal, entry.transport, entry.org) for entry in done] == [("ada", "http", "acme")] * 3
    samples = read(apart.content)
    label = ("kind=developer", "outcome=succeeded", "tool=salesforce_create_contact")
    assert samples["orgserver_calls_total", *label] == 2
    assert samples["orgserver_refreshes_total", "identity=shared", "outcome=succeeded"] >= 1

    log = served.log
    lines = [json.loads(line) for line in log.splitlines()]
    access = [line for line in lines if line["logger"] == "orgserver.access"]
    assert {line.get("principal") for line in access} == {"ada", "cyd", "root", None}
    assert {line["status"] for line in access if line.get("principal") is None} == {401}
    secrets |= secrets_of(sandbox.orgs) | {(home / "master.key").read_text().strip()}
    places |= {str(file): file.read_bytes() for file in home.rglob("*") if file.is_file() and file.name != "master.key"}
    places |= {
        f"body {n}": reply.content for n, reply in enumerate((refused, figures, apart, ready, before, after, *by_token))
    }
    assert not hits(secrets, places | {"log": log.encode()})
    for place, content in (places | {"log": log.encode()}).items():
        assert place in ("legacy", "2026-07-28") or VALUE.encode() not in content, place
    for name in (b"ada", b"cyd", b"root", b"acme", b"globex"):
        assert name not in figures.content + apart.content


async def test_a_call_under_way_when_a_signal_comes_is_answered_and_on_record(
    app: App, acme: SandboxOrg, tmp_path: Path
) -> None:
    key = await make_key(app, "ada", "acme:read,write")
    async with serving_http(tmp_path / "home") as served, served.client(key) as client:
        acme.fault("delay", path=".*/sobjects/Contact", seconds=1.0)
        call = await begin_create(client, acme)
        served.process.send_signal(signal.SIGTERM)

        assert not result_of(await call).get("isError")
        assert await served.read_end() == 0

    assert await outcomes(app) == [(Outcome.SUCCEEDED, "http")]
    assert "Traceback" not in served.log


async def test_a_second_signal_ends_at_once(app: App, acme: SandboxOrg, tmp_path: Path) -> None:
    key = await make_key(app, "ada", "acme:read,write")
    async with serving_http(tmp_path / "home") as served, served.client(key) as client:
        acme.fault("hang", path=".*/sobjects/Contact", seconds=60)
        call = await begin_create(client, acme)
        served.process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.5)  # signals that wait are one
        served.process.send_signal(signal.SIGINT)
        began = time.monotonic()

        assert await served.read_end() == -signal.SIGINT
        assert time.monotonic() - began < 1
        with pytest.raises(httpx2.TransportError):
            await call

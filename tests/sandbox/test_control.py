"""Tests in other processes can order faults, turn knobs and see what arrived."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import httpx
import pytest

from orgserver.sandbox import knobs
from orgserver.sandbox.org import SandboxOrg

QUERY = "/services/data/v60.0/query?q=SELECT+Id+FROM+Contact"


async def test_faults_are_ordered_listed_and_taken_back(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    order = {"kind": "status", "path": ".*/query", "status": 503, "times": 5}

    assert (await web.post("/sandbox/faults", json=order)).status_code == 200
    assert (await web.get(QUERY)).status_code == 503
    assert [each["times"] for each in (await web.get("/sandbox/faults")).json()] == [4]
    await web.delete("/sandbox/faults")
    assert (await web.get(QUERY)).status_code == 200


async def test_what_arrived_can_be_read_and_forgotten(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    reply = await web.get(QUERY)

    (seen,) = (await web.get("/sandbox/requests")).json()
    assert (seen["method"], seen["path"], seen["status"]) == ("GET", "/services/data/v60.0/query", 200)
    assert seen["request_id"] == reply.headers["x-request-id"]
    assert abs(seen["time"] - acme.clock().timestamp()) < 60
    await web.delete("/sandbox/requests")
    assert (await web.get("/sandbox/requests")).json() == []


async def test_sessions_end_and_are_counted(web: httpx.AsyncClient) -> None:
    await web.post("/sandbox/expire")

    assert (await web.get(QUERY)).status_code == 401
    state = (await web.get("/sandbox/state")).json()
    assert (state["counters"]["stale_tokens"], state["access_tokens"]) == (1, 0)


async def test_knobs_turn(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    told = {"rotation": False, "daily_limit": 3, "busy": 2, "org_id": None, "instance_url": "https://x.example"}

    assert (await web.post("/sandbox/knobs", json=told)).status_code == 200

    assert (acme.rotation, acme.daily_limit) == (False, 3)
    assert (acme.answers.busy, acme.answers.org_id, acme.answers.instance_url) == (2, None, "https://x.example")


async def test_one_wrong_knob_turns_none(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    reply = await web.post("/sandbox/knobs", json={"rotation": False, "seed": None})

    assert (reply.status_code, reply.json()) == (400, {"error": "seed: an integer is wanted"})
    assert acme.rotation


async def test_every_knob_is_explained(web: httpx.AsyncClient) -> None:
    for name in knobs.NAMES:
        assert re.search(rf"^(\w+, )*{name}\b", str(knobs.__doc__), re.MULTILINE), name


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", b"{"),
        ("faults", b"[]"),
        ("faults", b'{"kind": "earthquake"}'),
        ("faults", b'{"kind": "close", "path": "("}'),
        ("faults", b'{"kind": "close", "nonsense": 1}'),
        ("knobs", b'{"refresh_token": "x"}'),
        ("knobs", b'{"rotation": "yes"}'),
        ("knobs", b'{"busy": true}'),
        ("knobs", b'{"callbacks": "https://x.example"}'),
        ("knobs", b'{"callbacks": [1]}'),
        ("knobs", b'{"session_seconds": -1}'),
        ("knobs", b'{"token_delay": 1}'),
        ("knobs", b'{"token_delay": [2, 1]}'),
        ("knobs", b'{"token_delay_after": [1, NaN]}'),
        ("knobs", b'{"seed": "x"}'),
        ("knobs", b'{"org_id": 1}'),
    ],
)
async def test_a_wrong_order_is_refused(web: httpx.AsyncClient, acme: SandboxOrg, path: str, body: bytes) -> None:
    assert (await web.post(f"/sandbox/{path}", content=body)).status_code == 400
    assert acme.faults == []


async def test_another_name_for_this_machine_gets_nothing(web: httpx.AsyncClient) -> None:
    reply = await web.get("/sandbox/requests", headers={"Host": "evil.example"})

    assert reply.status_code == 403


async def test_there_are_no_other_knobs(web: httpx.AsyncClient) -> None:
    assert (await web.get("/sandbox/secrets")).status_code == 404


async def test_what_the_command_prints_is_enough_to_log_in(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orgserver", "sandbox", "--orgs", "1", "--callback", "http://localhost:1/back"]
    environment = os.environ | {"ORGSERVER_HOME": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    assert process.stdout is not None and process.stderr is not None
    async with asyncio.timeout(60):
        assert b"up" in await process.stderr.readline()
        process.terminate()
        printed = json.loads(await process.stdout.read())
        await process.communicate()

    assert printed["callbacks"] == ["http://localhost:1717/OauthRedirect", "http://localhost:1/back"]
    assert printed["public_client_id"] == "PlatformCLI"
    assert printed["orgs"][0].keys() >= {"login_url", "client_id", "client_secret", "refresh_token", "username"}

"""Tests in other processes can order faults, turn knobs and see what arrived."""

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg

QUERY = "/services/data/v60.0/query?q=SELECT+Id+FROM+Contact"


async def test_faults_are_ordered_listed_and_taken_back(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    order = {"kind": "status", "path": ".*/query", "status": 503, "times": 5}

    assert (await web.post("/sandbox/faults", json=order)).status_code == 200
    assert (await web.get(QUERY)).status_code == 503
    assert [each["times"] for each in (await web.get("/sandbox/faults")).json()] == [4]
    await web.delete("/sandbox/faults")
    assert (await web.get(QUERY)).status_code == 200


async def test_what_arrived_can_be_read_and_forgotten(web: httpx.AsyncClient) -> None:
    reply = await web.get(QUERY)

    (seen,) = (await web.get("/sandbox/requests")).json()
    assert (seen["method"], seen["path"], seen["status"]) == ("GET", "/services/data/v60.0/query", 200)
    assert seen["request_id"] == reply.headers["x-request-id"]
    await web.delete("/sandbox/requests")
    assert (await web.get("/sandbox/requests")).json() == []


async def test_sessions_end_and_are_counted(web: httpx.AsyncClient) -> None:
    await web.post("/sandbox/expire")

    assert (await web.get(QUERY)).status_code == 401
    state = (await web.get("/sandbox/state")).json()
    assert (state["counters"]["stale_tokens"], state["access_tokens"]) == (1, 0)


async def test_knobs_turn(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    knobs = {"rotation": False, "daily_limit": 3, "busy": 2, "org_id": None, "instance_url": "https://x.example"}

    assert (await web.post("/sandbox/knobs", json=knobs)).status_code == 200

    assert (acme.rotation, acme.daily_limit) == (False, 3)
    assert (acme.answers.busy, acme.answers.org_id, acme.answers.instance_url) == (2, None, "https://x.example")


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

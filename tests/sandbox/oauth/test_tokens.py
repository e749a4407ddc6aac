"""Tokens rotate, end and are told apart as Salesforce does it."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg

TOKEN = "/services/oauth2/token"


def form(org: SandboxOrg, **changes: str) -> dict[str, str]:
    return {
        "grant_type": "refresh_token",
        "client_id": org.client_id,
        "client_secret": org.client_secret,
        "refresh_token": org.refresh_token,
    } | changes


async def refresh(web: httpx.AsyncClient, org: SandboxOrg, **changes: str) -> tuple[int, dict[str, Any]]:
    reply = await web.post(TOKEN, data=form(org, **changes))
    return reply.status_code, reply.json()


async def test_a_refresh_rotates_and_the_old_token_is_dead(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    first = acme.refresh_token

    status, answer = await refresh(web, acme)

    assert status == 200
    assert answer["refresh_token"] == acme.refresh_token != first
    assert answer["id"].endswith(f"/id/{acme.org_id}/{acme.user_id}")
    assert answer["issued_at"].isdigit()
    # What the sf command can keep (core's patterns).
    assert re.fullmatch(r"(00D\w{12,15})![.\w]*", answer["access_token"])
    assert re.fullmatch(r"[A-Za-z0-9._-]+={0,2}", answer["refresh_token"])


async def test_reuse_ends_everything(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    first = acme.refresh_token
    _, answer = await refresh(web, acme)

    assert (await refresh(web, acme, refresh_token=first))[1]["error"] == "invalid_grant"

    assert acme.counters.reuses == 1
    assert (await refresh(web, acme, refresh_token=answer["refresh_token"]))[0] == 400
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    assert (await web.get("/services/data/v60.0/limits", headers=headers)).status_code == 401


async def test_without_rotation_the_token_stays(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.rotation = False

    for _ in range(2):
        status, answer = await refresh(web, acme)
        assert (status, "refresh_token" in answer) == (200, False)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "x"}, "invalid_client_id"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"refresh_token": "x"}, "invalid_grant"),
        ({"refresh_token": ""}, "invalid_grant"),
    ],
)
async def test_a_wrong_request_spends_nothing(
    web: httpx.AsyncClient, acme: SandboxOrg, changes: dict[str, str], error: str
) -> None:
    status, answer = await refresh(web, acme, **changes)

    assert (status, answer["error"]) == (400, error)
    assert answer.keys() == {"error", "error_description"}
    assert (await refresh(web, acme))[0] == 200


async def test_a_chunked_request_is_read(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    async def pieces() -> Any:
        for part in str(httpx.QueryParams(form(acme))).partition("&client_secret"):
            yield part.encode()

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await web.post(TOKEN, content=pieces(), headers=headers)

    assert reply.status_code == 200
    assert reply.request.headers["transfer-encoding"] == "chunked"


async def test_two_refreshes_at_once_one_is_told_so(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    first = acme.fault("delay", path=TOKEN, seconds=0.5)

    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(refresh(web, acme))
        while first.times:
            await asyncio.sleep(0)
        quick = tasks.create_task(refresh(web, acme))

    assert quick.result()[1]["error_description"] == "Token request is already being processed"
    assert slow.result()[0] == 200
    assert acme.counters.reuses == 0


async def test_an_answer_can_be_lost_after_the_token_has_rotated(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    first = acme.refresh_token
    acme.fault("reset", path=TOKEN, work=True)

    with pytest.raises(httpx.ReadError):
        await refresh(web, acme)

    assert acme.refresh_token != first
    assert acme.counters.refreshes == 1


async def test_answers_may_name_another_org_and_another_host(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.answers.org_id, acme.answers.instance_url, acme.answers.busy = "00DOther", "https://evil.example", 1

    assert (await refresh(web, acme))[1]["error_description"] == "Token request is already being processed"
    _, answer = await refresh(web, acme)

    assert "/id/00DOther/" in answer["id"]
    assert answer["instance_url"] == "https://evil.example"


async def test_a_revoked_refresh_token_takes_its_sessions_along(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    assert (await web.post("/services/oauth2/revoke", data={"token": acme.refresh_token})).status_code == 200

    assert not acme.access_tokens
    again = await web.post("/services/oauth2/revoke", data={"token": "x"})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_token")


async def test_who_it_is(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    info = (await web.get("/services/oauth2/userinfo")).json()
    identity = (await web.get(info["sub"])).json()

    assert (info["user_id"], info["organization_id"]) == (acme.user_id, acme.org_id)
    assert identity["id"] == info["sub"]
    assert identity["username"] == info["preferred_username"] == acme.username
    refused = await web.get("/services/oauth2/userinfo", headers={"Authorization": "Bearer x"})
    assert (refused.status_code, refused.text) == (403, "Bad_OAuth_Token")


async def test_another_kind_of_header_is_refused(web: httpx.AsyncClient) -> None:
    reply = await web.get("/services/data/v60.0/limits", headers={"Authorization": "Basic x"})

    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Token"
    assert reply.json() == [{"message": "INVALID_HEADER_TYPE", "errorCode": "INVALID_AUTH_HEADER"}]


@pytest.mark.parametrize("alive", [True, False])
async def test_tokens_of_another_org_are_counted_wherever_they_turn_up(
    web: httpx.AsyncClient, acme: SandboxOrg, globex: SandboxOrg, alive: bool
) -> None:
    token = globex.new_session()["access_token"]
    if not alive:
        globex.expire_access_tokens()
    headers = {"Authorization": f"Bearer {token}"}

    assert (await web.get("/services/data/v60.0/limits", headers=headers)).status_code == 401
    assert (await web.get("/services/oauth2/userinfo", headers=headers)).status_code == 403
    assert (await refresh(web, acme, refresh_token=globex.refresh_token))[0] == 400

    assert (acme.counters.foreign_tokens, globex.counters.foreign_tokens) == (3, 0)


async def test_no_token_is_in_the_request_log(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    await refresh(web, acme)

    assert acme.requests[-1].body == ""
    assert acme.refresh_token not in repr(acme.requests)


async def test_an_org_shows_no_secret(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    spent = acme.refresh_token
    _, answer = await refresh(web, acme)

    for secret in (spent, acme.refresh_token, acme.client_secret, answer["access_token"]):
        assert secret not in repr(acme)


async def test_an_org_that_moves_says_so_in_tokens_and_identity_and_answers_at_both_places(
    web: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    acme.moved = True
    new = acme.url.replace("127.0.0.1", "localhost")

    _, answer = await refresh(web, acme)
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    identity = (await web.get(answer["id"], headers=headers)).json()
    there = await web.get(f"{new}/services/data/v60.0/limits", headers=headers)

    assert (answer["instance_url"], identity["organization_id"]) == (new, acme.org_id)
    assert answer["id"].startswith(f"{acme.url}/id/")
    assert identity["urls"]["rest"].startswith(f"{new}/services/data/")
    assert there.status_code == 200
    assert acme.requests[-1].host == new.partition("://")[2]


async def test_token_and_identity_answers_may_lie(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.answers.fields, acme.answers.without = {"access_token": "x\n"}, ["id"]
    acme.answers.identity_url, acme.answers.identity_org_id = "https://evil.example", "00DOther"

    _, answer = await refresh(web, acme)
    identity = (await web.get(f"/id/{acme.org_id}/{acme.user_id}")).json()

    assert (answer["access_token"], answer["refresh_token"]) == ("x\n", acme.refresh_token)
    assert "id" not in answer
    assert identity["organization_id"] == "00DOther"
    assert identity["urls"]["rest"].startswith("https://evil.example/services/")

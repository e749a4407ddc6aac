"""Every login has tokens of its own: what ends one leaves the others alone."""

import hashlib
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.sandbox.oauth.oauth_steps import INTROSPECT, REVOKE, TOKEN, approved, logged_in, redeeming, refreshed, works


async def test_reuse_ends_one_login_and_no_other(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    one, other = await logged_in(web, acme), await logged_in(web, acme)
    _, rotated = await refreshed(web, acme, one["refresh_token"])

    status, told = await refreshed(web, acme, one["refresh_token"])

    assert (status, told["error"], acme.counters.reuses) == (400, "invalid_grant", 1)
    assert not await works(web, one["access_token"])
    assert not await works(web, rotated["access_token"])
    assert (await refreshed(web, acme, rotated["refresh_token"]))[0] == 400
    assert await works(web, other["access_token"])
    assert (await refreshed(web, acme, other["refresh_token"]))[0] == 200
    assert (await refreshed(web, acme, acme.refresh_token))[0] == 200
    assert acme.counters.reuses == 1


async def test_the_sixth_login_ends_the_oldest(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    seeded = acme.refresh_token  # the first of the five
    logins = [await logged_in(web, acme) for _ in range(5)]

    assert (acme.refresh_token, (await refreshed(web, acme, seeded))[0]) == ("", 400)
    assert [(await refreshed(web, acme, each["refresh_token"]))[0] for each in logins] == [200] * 5
    assert acme.counters.reuses == 0


async def test_the_logins_of_another_app_are_counted_apart(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    seeded = acme.refresh_token
    for _ in range(5):
        code = await approved(web, acme, client_id="PlatformCLI")
        form = redeeming(acme, code, client_id="PlatformCLI", client_secret="")
        assert (await web.post(TOKEN, data=form)).status_code == 200

    assert (await refreshed(web, acme, seeded))[0] == 200


async def test_a_refresh_token_serves_its_own_app_only(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    status, told = await refreshed(web, acme, acme.refresh_token, client_id="PlatformCLI", client_secret="")

    assert (status, told["error"]) == (400, "invalid_grant")
    assert (await refreshed(web, acme, acme.refresh_token))[0] == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_revoking_a_refresh_token_takes_its_own_sessions_along(
    web: httpx.AsyncClient, acme: SandboxOrg, method: str
) -> None:
    one, other = await logged_in(web, acme), await logged_in(web, acme)
    told = {"token": one["refresh_token"]}

    reply = await (web.get(REVOKE, params=told) if method == "GET" else web.post(REVOKE, data=told))

    assert reply.status_code == 200
    assert not await works(web, one["access_token"])
    assert (await refreshed(web, acme, one["refresh_token"]))[0] == 400
    assert await works(web, other["access_token"])
    assert one["refresh_token"] not in repr(acme.requests)


async def test_revoking_an_access_token_leaves_the_refresh_token(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    one = await logged_in(web, acme)

    assert (await web.post(REVOKE, data={"token": one["access_token"]})).status_code == 200

    assert not await works(web, one["access_token"])
    assert (await refreshed(web, acme, one["refresh_token"]))[0] == 200
    again = await web.post(REVOKE, data={"token": one["access_token"]})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_token")


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({}, "invalid_token"),
        ({"token": ""}, "invalid_token"),
        ({"token": "x", "token_type_hint": "id_token"}, "unsupported_token_type"),
    ],
)
async def test_what_cannot_be_revoked_is_said_so(
    web: httpx.AsyncClient, acme: SandboxOrg, told: dict[str, str], error: str
) -> None:
    reply = await web.post(REVOKE, data=told)

    assert (reply.status_code, reply.json()["error"]) == (400, error)
    assert acme.logins.seeded.alive


async def test_introspection_tells_what_a_token_is_to_its_own_app(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    await web.post("/sandbox/knobs", json={"session_seconds": 900})
    one = await logged_in(web, acme)
    client = (acme.client_id, acme.client_secret)

    access = (await web.post(INTROSPECT, data={"token": one["access_token"]}, auth=client)).json()
    refresh = (await web.post(INTROSPECT, data={"token": one["refresh_token"]}, auth=client)).json()
    body = {"token": "x", "client_id": acme.client_id, "client_secret": acme.client_secret}

    assert access == {
        "active": True,
        "scope": "refresh_token api web",
        "client_id": acme.client_id,
        "username": acme.username,
        "sub": one["id"],
        "token_type": "access_token",
        "iat": access["iat"],
        "nbf": access["iat"],
        "exp": access["exp"],
    }
    assert 899 <= access["exp"] - access["iat"] <= 901
    assert (refresh["active"], refresh["token_type"], "exp" in refresh) == (True, "refresh_token", False)
    assert (await web.post(INTROSPECT, data=body)).json() == {"active": False}


async def test_introspection_tells_nothing_of_the_tokens_of_another_app(
    web: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    code = await approved(web, acme, client_id="PlatformCLI")
    form = redeeming(acme, code, client_id="PlatformCLI", client_secret="")
    theirs = (await web.post(TOKEN, data=form)).json()

    for token in (theirs["access_token"], theirs["refresh_token"]):
        told = await web.post(INTROSPECT, data={"token": token}, auth=(acme.client_id, acme.client_secret))
        assert told.json() == {"active": False}


async def test_introspection_is_for_apps_that_show_their_secret(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    told = {"token": acme.refresh_token, "client_id": acme.client_id}

    refused = await web.post(INTROSPECT, data=told)
    nothing = await web.post(INTROSPECT, data=told | {"token": "", "client_secret": acme.client_secret})

    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert (nothing.status_code, nothing.json()["error"]) == (400, "invalid_request")


async def test_an_idle_session_ends_and_a_used_one_lives_on(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    now = datetime.now(UTC)
    acme.session_seconds = 60
    acme.clock = lambda: now
    used, idle = (acme.new_session()["access_token"] for _ in range(2))

    acme.clock = lambda: now + timedelta(seconds=40)
    assert await works(web, used)
    acme.clock = lambda: now + timedelta(seconds=70)

    assert acme.access_tokens == {used}
    assert await works(web, used)
    assert not await works(web, idle)


async def test_a_session_ends_after_the_seconds_of_the_knob(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    assert (await web.post("/sandbox/knobs", json={"session_seconds": 0})).status_code == 200
    token = (await logged_in(web, acme))["access_token"]

    assert not await works(web, token)
    await web.post("/sandbox/knobs", json={"session_seconds": None})
    assert await works(web, (await logged_in(web, acme))["access_token"])


async def test_the_logins_are_listed_without_their_tokens(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    one = await logged_in(web, acme)
    _, rotated = await refreshed(web, acme, one["refresh_token"])
    await web.post(TOKEN, data={"grant_type": "client_credentials"}, auth=(acme.client_id, acme.client_secret))
    await web.post(REVOKE, data={"token": acme.refresh_token})

    listed = (await web.get("/sandbox/tokens")).json()

    app = {"client_id": acme.client_id, "user_id": acme.user_id}
    families = [each.pop("family") for each in listed]
    digest = hashlib.sha256(rotated["refresh_token"].encode()).hexdigest()
    assert listed == [
        app | {"generation": 0, "refresh_token_sha256": None, "access_tokens": 0, "revoked": True},
        app | {"generation": 1, "refresh_token_sha256": digest, "access_tokens": 2, "revoked": False},
        app | {"generation": 0, "refresh_token_sha256": None, "access_tokens": 1, "revoked": False},
    ]
    assert families[1] == hashlib.sha256(one["refresh_token"].encode()).hexdigest()
    assert len(set(families)) == len(families)


async def test_the_identity_url_names_an_api_version_if_one_is_asked_for(
    web: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    one = await logged_in(web, acme)
    plain = (await web.get(one["id"])).json()

    latest = await web.get(
        one["id"],
        params={"format": "json", "version": "latest", "oauth_token": one["access_token"]},
        headers={"Authorization": ""},
    )

    assert "{version}" in plain["urls"]["rest"]
    assert latest.json()["urls"]["rest"] == f"{acme.url}/services/data/v68.0/"
    assert plain.keys() == latest.json().keys() >= {"photos", "last_modified_date", "display_name", "utcOffset"}
    assert one["access_token"] not in repr(acme.requests)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [("/id/00DOther/{user}", 403, "Wrong_Org"), ("/id/{org}/005Other", 404, "Bad_Id")],
)
async def test_an_identity_url_of_somebody_else_is_refused(
    web: httpx.AsyncClient, acme: SandboxOrg, path: str, status: int, text: str
) -> None:
    reply = await web.get(path.format(org=acme.org_id, user=acme.user_id))

    assert (reply.status_code, reply.text) == (status, text)


async def test_without_a_token_the_user_is_not_told(web: httpx.AsyncClient) -> None:
    reply = await web.get("/services/oauth2/userinfo", headers={"Authorization": ""})

    assert (reply.status_code, reply.text) == (403, "Missing_OAuth_Token")

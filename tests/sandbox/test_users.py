"""An org of several users: each login is somebody's, and all that is done with it is theirs."""

import hashlib
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from orgserver.sandbox.org import SandboxOrg
from tests.sandbox.oauth.oauth_steps import AUTHORIZE, REVOKE, TOKEN, asking, led_back, redeeming, refreshed, works

ALICE, BOB = "alice@acme.example", "bob@acme.example"
DATA = "/services/data/v66.0"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
async def browser(acme: SandboxOrg) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=acme.url, trust_env=False, timeout=10) as client:
        yield client


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def logged_in(web: httpx.AsyncClient, org: SandboxOrg, username: str, **changes: str) -> dict[str, Any]:
    """The tokens of a new login of this user, who is not asked."""
    code = led_back(await web.get(AUTHORIZE, params=asking(org, login_hint=username, **changes)))["code"]
    tokens: dict[str, Any] = (await web.post(TOKEN, data=redeeming(org, code))).json()
    return tokens


def inputs(page: httpx.Response) -> dict[str, str]:
    """The fields of a page's form, filled in as they come."""
    found = re.findall(r'<input[^>]*? name="([^"]+)"(?: type="[^"]+")?(?: value="([^"]*)")?', page.text)
    return {name: unescape(value) for name, value in found}


async def test_what_a_user_does_is_said_to_be_theirs(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    alice, bob = acme.add_user(ALICE, "Alice Liddell"), acme.add_user(BOB)
    a, b = await logged_in(browser, acme, ALICE), await logged_in(browser, acme, BOB)
    contacts = f"{DATA}/sobjects/Contact"

    made = (await browser.post(contacts, json={"LastName": "Hare"}, headers=bearer(a))).json()["id"]
    await browser.patch(f"{contacts}/{made}", json={"Phone": "1"}, headers=bearer(b))
    soql = f"SELECT CreatedById, OwnerId, LastModifiedById, CreatedBy.Username FROM Contact WHERE Id = '{made}'"
    (row,) = (await browser.get(f"{DATA}/query", params={"q": soql}, headers=bearer(b))).json()["records"]

    assert (row["CreatedById"], row["OwnerId"], row["LastModifiedById"]) == (alice.id, alice.id, bob.id)
    assert row["CreatedBy"]["Username"] == ALICE
    assert acme.records.tables["Contact"][next(iter(acme.records.tables["Contact"]))]["CreatedById"] == acme.user_id


async def test_a_bulk_job_is_of_who_made_it_while_others_call(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    alice = acme.add_user(ALICE)
    a, first = await logged_in(browser, acme, ALICE), bearer(acme.new_session())
    acme.bulk_delay = 0.1
    body = {"object": "Contact", "operation": "insert"}
    job = (await browser.post(f"{DATA}/jobs/ingest", json=body, headers=bearer(a))).json()
    path = f"{DATA}/jobs/ingest/{job['id']}"
    csv = {"Content-Type": "text/csv"}
    await browser.put(f"{path}/batches", content=b"LastName\nDormouse\n", headers=bearer(a) | csv)
    await browser.patch(path, json={"state": "UploadComplete"}, headers=bearer(a))

    while (await browser.get(path, headers=bearer(a))).json()["state"] != "JobComplete":
        await browser.get(f"{DATA}/limits", headers=first)

    dormouse = next(each for each in acme.records.tables["Contact"].values() if each["LastName"] == "Dormouse")
    assert (job["createdById"], dormouse["CreatedById"]) == (alice.id, alice.id)


async def test_who_one_is_depends_on_the_token(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    alice = acme.add_user(ALICE, "Alice Liddell", time_zone="America/New_York")
    a, narrow = await logged_in(browser, acme, ALICE), await logged_in(browser, acme, ALICE, scope="id refresh_token")

    info = (await browser.get("/services/oauth2/userinfo", headers=bearer(a))).json()
    identity = (await browser.get(a["id"], headers=bearer(a))).json()
    others = f"/id/{acme.org_id}/{acme.user_id}"

    assert a["id"].endswith(f"/id/{acme.org_id}/{alice.id}")
    assert (info["user_id"], info["preferred_username"], info["zoneinfo"]) == (alice.id, ALICE, "America/New_York")
    assert (identity["username"], identity["display_name"]) == (ALICE, "Alice Liddell")
    assert (await browser.get(others, headers=bearer(a))).json()["username"] == acme.username
    assert (await browser.get(others, headers=bearer(narrow))).status_code == 403
    assert (await browser.get(narrow["id"], headers=bearer(narrow))).json()["username"] == ALICE


async def test_five_approvals_are_counted_for_each_user(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.add_user(ALICE)
    seeded = acme.refresh_token
    logins = [await logged_in(browser, acme, ALICE) for _ in range(6)]

    assert (await refreshed(browser, acme, logins[0]["refresh_token"]))[0] == 400
    assert not await works(browser, logins[0]["access_token"])
    assert [(await refreshed(browser, acme, each["refresh_token"]))[0] for each in logins[1:]] == [200] * 5
    assert (await refreshed(browser, acme, seeded))[0] == 200
    assert (acme.counters.evictions, acme.counters.reuses) == (1, 0)


async def test_a_spent_token_ends_the_login_of_its_user_alone(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.add_user(ALICE), acme.add_user(BOB)
    a, b = await logged_in(browser, acme, ALICE), await logged_in(browser, acme, BOB)
    await refreshed(browser, acme, a["refresh_token"])

    assert (await refreshed(browser, acme, a["refresh_token"]))[0] == 400

    assert not await works(browser, a["access_token"])
    assert await works(browser, b["access_token"])


async def test_an_inactive_user_is_let_in_nowhere(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.add_user(ALICE), acme.add_user(BOB)
    a, b = await logged_in(browser, acme, ALICE), await logged_in(browser, acme, BOB)
    code = led_back(await browser.get(AUTHORIZE, params=asking(acme, login_hint=ALICE)))["code"]

    told = await browser.post("/sandbox/users", json={"username": ALICE, "active": False})

    assert told.json()["active"] is False
    assert not await works(browser, a["access_token"])
    status, answer = await refreshed(browser, acme, a["refresh_token"])
    assert (status, answer["error_description"]) == (400, "inactive user")
    redeemed = await browser.post(TOKEN, data=redeeming(acme, code))
    assert (redeemed.status_code, redeemed.json()["error_description"]) == (400, "inactive user")
    assert await works(browser, b["access_token"])
    assert (await refreshed(browser, acme, b["refresh_token"]))[0] == 200


async def test_fields_are_hidden_from_one_user_and_not_from_another(
    browser: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    await browser.post("/sandbox/users", json={"username": ALICE, "hidden_fields": {"Contact": ["Phone"]}})
    acme.add_user(BOB)
    a, b = await logged_in(browser, acme, ALICE), await logged_in(browser, acme, BOB)
    soql = {"q": "SELECT Phone FROM Contact"}

    for tokens, seen in ((a, False), (b, True)):
        describe = (await browser.get(f"{DATA}/sobjects/Contact/describe", headers=bearer(tokens))).json()
        assert ("Phone" in [each["name"] for each in describe["fields"]]) is seen
        assert (await browser.get(f"{DATA}/query", params=soql, headers=bearer(tokens))).is_success is seen
        values = {"LastName": "Duchess", "Phone": "1"}
        made = await browser.post(f"{DATA}/sobjects/Contact", json=values, headers=bearer(tokens))
        assert made.is_success is seen


async def test_a_locator_is_for_the_user_who_queried(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.add_user(ALICE), acme.add_user(BOB)
    a, b = await logged_in(browser, acme, ALICE), await logged_in(browser, acme, BOB)
    acme.page_rows = 2
    soql = {"q": "SELECT Id FROM Contact ORDER BY Id"}
    page = (await browser.get(f"{DATA}/query", params=soql, headers=bearer(a))).json()

    crossed = await browser.get(page["nextRecordsUrl"], headers=bearer(b))

    assert (crossed.status_code, crossed.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    assert (await browser.get(page["nextRecordsUrl"], headers=bearer(a))).is_success


async def test_an_assertion_is_for_the_user_whom_it_names(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.answers.jwt_public_key = KEY.public_key()
    alice = acme.add_user(ALICE)
    acme.add_user(BOB, approved=False)

    async def answer_for(subject: str) -> dict[str, Any]:
        expiry = acme.clock().timestamp() + 60
        claims = {"iss": acme.client_id, "sub": subject, "aud": acme.url, "exp": expiry}
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
        form |= {"assertion": jwt.encode(claims, KEY, algorithm="RS256")}
        told: dict[str, Any] = (await browser.post(TOKEN, data=form)).json()
        return told

    assert (await answer_for(ALICE))["id"].endswith(alice.id)
    assert (await answer_for(acme.username))["id"].endswith(acme.user_id)
    for nobody in (BOB, "nobody@acme.example", ""):
        assert (await answer_for(nobody))["error_description"] == "user hasn't approved this consumer"
    acme.change_user(alice, active=False)
    assert (await answer_for(ALICE))["error_description"] == "inactive user"


async def test_the_log_says_whose_token_came_good_or_not(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    alice = acme.add_user(ALICE)
    a = await logged_in(browser, acme, ALICE)
    family = hashlib.sha256(a["refresh_token"].encode()).hexdigest()
    await browser.get(f"{DATA}/limits", headers=bearer(a))
    await refreshed(browser, acme, a["refresh_token"])
    await browser.post("/sandbox/expire", json={"username": ALICE})
    await browser.get(f"{DATA}/limits", headers=bearer(a))
    await browser.get(f"{DATA}/limits", headers={"Authorization": "Bearer made-up"})
    await browser.post(REVOKE, data={"token": a["refresh_token"]})

    log = [each for each in (await browser.get("/sandbox/requests")).json() if each["path"] != AUTHORIZE]

    seen = [(each["path"].rpartition("/")[2], each["status"], each["user_id"], each["family"]) for each in log]
    mine, nobody = (alice.id, family), ("", "")
    assert seen == [
        ("token", 200, *mine), ("limits", 200, *mine), ("token", 200, *mine), ("limits", 401, *mine),
        ("limits", 401, *nobody), ("revoke", 400, *mine),
    ]  # fmt: skip


async def test_an_administrator_ends_every_login_of_one_user(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.add_user(ALICE), acme.add_user(BOB)
    a, b = await logged_in(browser, acme, ALICE), await logged_in(browser, acme, BOB)

    assert (await browser.post("/sandbox/revoke", json={"username": ALICE})).is_success

    assert not await works(browser, a["access_token"])
    assert (await refreshed(browser, acme, a["refresh_token"]))[1][
        "error_description"
    ] == "expired access/refresh token"
    assert (await refreshed(browser, acme, b["refresh_token"]))[0] == 200


async def test_a_code_that_comes_twice_ends_what_it_gave(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.add_user(ALICE)
    code = led_back(await browser.get(AUTHORIZE, params=asking(acme, login_hint=ALICE)))["code"]
    tokens = (await browser.post(TOKEN, data=redeeming(acme, code))).json()
    assert await works(browser, tokens["access_token"])

    assert (await browser.post(TOKEN, data=redeeming(acme, code))).status_code == 400

    assert not await works(browser, tokens["access_token"])


async def test_a_person_logs_in_and_allows(browser: httpx.AsyncClient, acme: SandboxOrg) -> None:
    alice = acme.add_user(ALICE)
    acme.answers.consent_page = True
    login = await browser.get(AUTHORIZE, params=asking(acme, login_hint=ALICE))
    assert (login.status_code, inputs(login)["username"]) == (200, ALICE)

    consent = await browser.post(AUTHORIZE, data=inputs(login) | {"pw": alice.password})
    back = await browser.post(AUTHORIZE, data=inputs(consent) | {"decision": "allow"})

    assert f"act for {ALICE}" in consent.text
    assert alice.password not in consent.text + repr(acme.requests) + repr(acme)
    tokens = (await browser.post(TOKEN, data=redeeming(acme, led_back(back)["code"]))).json()
    assert tokens["id"].endswith(alice.id)
    again = await browser.post(AUTHORIZE, data=inputs(consent) | {"decision": "allow"})
    assert (again.status_code, "code=" in again.headers.get("location", "")) == (200, False)


async def test_whoever_is_logged_in_is_asked_for_consent_alone_unless_told_to_log_in(
    browser: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    alice = acme.add_user(ALICE)
    acme.answers.consent_page = True
    login = await browser.get(AUTHORIZE, params=asking(acme))
    await browser.post(AUTHORIZE, data=inputs(login) | {"username": ALICE, "pw": alice.password})

    second = await browser.get(AUTHORIZE, params=asking(acme))
    must_log_in = await browser.get(AUTHORIZE, params=asking(acme, prompt="login consent"))
    browser.cookies.clear()
    stranger = await browser.get(AUTHORIZE, params=asking(acme))

    assert [f"act for {ALICE}" in each.text for each in (second, must_log_in, stranger)] == [True, False, False]
    assert all("pw" in inputs(each) for each in (must_log_in, stranger))


@pytest.mark.parametrize("how", ["wrong password", "nobody", "inactive", "in the address", "no login at all"])
async def test_without_a_password_nobody_is_let_in(browser: httpx.AsyncClient, acme: SandboxOrg, how: str) -> None:
    alice = acme.add_user(ALICE)
    acme.answers.consent_page = True
    form = asking(acme) | {"decision": "allow", "username": ALICE, "pw": alice.password}
    if how == "inactive":
        acme.change_user(alice, active=False)
    changes = {"wrong password": {"pw": "x"}, "nobody": {"username": BOB}}.get(how, {})
    if how == "no login at all":
        form = asking(acme) | {"decision": "allow", "approver": "made-up"}

    if how == "in the address":
        reply = await browser.get(AUTHORIZE, params=form)
    else:
        reply = await browser.post(AUTHORIZE, data=form | changes)

    assert (reply.status_code, "location" in reply.headers, "set-cookie" in reply.headers) == (200, False, True)
    assert "pw" in inputs(reply)
    assert not [each for each in reply.headers.get_list("set-cookie") if each.startswith("sid_")]


async def test_a_test_logs_somebody_in_and_allows_with_one_request(
    browser: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    alice = acme.add_user(ALICE)
    acme.answers.consent_page = True

    form = asking(acme) | {"decision": "allow", "username": ALICE, "pw": alice.password}
    reply = await browser.post(AUTHORIZE, data=form)

    where = dict(parse_qsl(urlsplit(reply.headers["location"]).query))
    tokens = (await browser.post(TOKEN, data=redeeming(acme, where["code"]))).json()
    assert tokens["id"].endswith(alice.id)


async def test_users_are_added_changed_and_listed_from_another_process(
    browser: httpx.AsyncClient, acme: SandboxOrg
) -> None:
    told = {"username": ALICE, "name": "Alice Liddell", "password": "looking-glass"}
    made = (await browser.post("/sandbox/users", json=told)).json()
    await browser.post("/sandbox/users", json={"username": ALICE.upper(), "time_zone": "Asia/Tokyo"})

    listed = (await browser.get("/sandbox/users")).json()

    assert [each["username"] for each in listed] == [acme.username, ALICE]
    assert listed[1] == made | {"time_zone": "Asia/Tokyo"}
    assert acme.records.tables["User"][made["id"]]["Name"] == "Alice Liddell"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": ""},
        {"username": ALICE, "shoe_size": 43},
        {"username": ALICE, "active": "yes"},
        {"username": ALICE, "hidden_fields": {"Contact": ["LastName"]}},
        {"username": "agent@acme.example", "name": "Other Name"},
    ],
)
async def test_what_no_user_can_be_is_said_so_and_changes_nothing(
    browser: httpx.AsyncClient, acme: SandboxOrg, body: dict[str, Any]
) -> None:
    before = (await browser.get("/sandbox/users")).json()

    assert (await browser.post("/sandbox/users", json=body)).status_code == 400

    assert (await browser.get("/sandbox/users")).json() == before
    assert (await browser.post("/sandbox/revoke", json={"username": "nobody"})).status_code == 400

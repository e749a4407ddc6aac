"""A log-in in the browser: the page, the way back, and what the code is good for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from orgserver.sandbox.org import SandboxOrg
from tests.sandbox.oauth.oauth_steps import (
    AUTHORIZE,
    CALLBACK,
    TOKEN,
    VERIFIER,
    approved,
    asking,
    challenge,
    led_back,
    logged_in,
    redeeming,
    refreshed,
    works,
)


async def refusal(web: httpx.AsyncClient, form: dict[str, str]) -> tuple[int, str, str]:
    reply = await web.post(TOKEN, data=form)
    told = reply.json()
    return reply.status_code, told.get("error", ""), told.get("error_description", "")


async def test_the_page_leads_back_with_a_code_and_the_state(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    extras = {"prompt": "login consent", "login_hint": "ada@acme.example", "scope": "refresh_token api web"}

    told = led_back(await web.get(AUTHORIZE, params=asking(acme, **extras)))

    assert told.keys() == {"code", "state"}
    assert told["state"] == "s&t ate"


async def test_a_code_gives_tokens_that_work_and_refresh(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    answer = await logged_in(web, acme)

    assert answer.keys() == {
        "access_token", "refresh_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at",
    }  # fmt: skip
    assert await works(web, answer["access_token"])
    assert answer["refresh_token"] != acme.refresh_token
    assert (await refreshed(web, acme, answer["refresh_token"]))[0] == 200
    assert (acme.counters.logins, acme.counters.refreshes, acme.counters.token_requests) == (1, 1, 2)


@pytest.mark.parametrize("empty", [{}, {"client_secret": ""}])
async def test_the_public_app_shows_no_secret(web: httpx.AsyncClient, acme: SandboxOrg, empty: dict[str, str]) -> None:
    code = await approved(web, acme, client_id="PlatformCLI")

    form = redeeming(acme, code, client_id="PlatformCLI", client_secret="")
    reply = await web.post(TOKEN, data=form | empty)

    answer = reply.json()
    assert reply.status_code == 200
    status, again = await refreshed(web, acme, answer["refresh_token"], client_id="PlatformCLI", client_secret="")
    assert (status, again["scope"]) == (200, "refresh_token api web")


async def test_a_secret_of_the_public_app_is_refused(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    code = await approved(web, acme, client_id="PlatformCLI")

    form = redeeming(acme, code, client_id="PlatformCLI", client_secret="made up")

    assert (await refusal(web, form))[1] == "invalid_client"


async def test_an_app_whose_secret_is_not_required_may_leave_it_out(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    assert await refusal(web, redeeming(acme, await approved(web, acme), client_secret="")) == (
        400, "invalid_client", "invalid client credentials",
    )  # fmt: skip

    acme.answers.secret_required = False

    assert (await logged_in(web, acme, client_secret=""))["token_type"] == "Bearer"
    wrong = redeeming(acme, await approved(web, acme), client_secret="wrong")
    assert (await refusal(web, wrong))[1] == "invalid_client"


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://localhost:1717/OauthRedirect/",
        "http://localhost:1718/OauthRedirect",
        "http://127.0.0.1:1717/OauthRedirect",
        "http://localhost:1717/oauthredirect",
        "https://evil.example/OauthRedirect",
    ],
)
async def test_a_callback_that_is_not_registered_is_never_led_to(
    web: httpx.AsyncClient, acme: SandboxOrg, redirect_uri: str
) -> None:
    reply = await web.get(AUTHORIZE, params=asking(acme, redirect_uri=redirect_uri))

    assert reply.status_code == 400
    assert "location" not in reply.headers
    assert "redirect_uri_mismatch" in reply.text
    assert "text/html" in reply.headers["content-type"]


async def test_another_callback_can_be_registered(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    ours = "http://localhost:8910/callback?from=salesforce"
    await web.post("/sandbox/knobs", json={"callbacks": [CALLBACK, ours]})

    reply = await web.get(AUTHORIZE, params=asking(acme, redirect_uri=ours))

    assert reply.headers["location"].startswith(f"{ours}&code=aPrx")


@pytest.mark.parametrize(
    ("changes", "error"), [({"client_id": "nobody"}, "invalid_client_id"), ({"redirect_uri": ""}, "invalid_request")]
)
async def test_without_a_known_app_and_callback_there_is_no_way_back(
    web: httpx.AsyncClient, acme: SandboxOrg, changes: dict[str, str], error: str
) -> None:
    reply = await web.get(AUTHORIZE, params=asking(acme, **changes))

    assert (reply.status_code, error in reply.text) == (400, True)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "api moon"}, "invalid_scope"),
    ],
)
async def test_a_wrong_request_is_told_to_the_app(
    web: httpx.AsyncClient, acme: SandboxOrg, changes: dict[str, str], error: str
) -> None:
    told = led_back(await web.get(AUTHORIZE, params=asking(acme, **changes)))

    assert (told["error"], told["state"]) == (error, "s&t ate")
    assert "code" not in told


async def test_a_challenge_can_be_required(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.answers.pkce_required = True

    told = led_back(await web.get(AUTHORIZE, params=asking(acme, code_challenge="")))

    assert (told["error"], told["error_description"]) == ("invalid_request", "missing code challenge")
    assert await approved(web, acme, code_challenge_method="S256")


async def test_a_person_may_say_no(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    acme.answers.deny = True

    told = led_back(await web.get(AUTHORIZE, params=asking(acme)))

    assert told == {
        "error": "access_denied", "error_description": "end-user denied authorization", "state": "s&t ate",
    }  # fmt: skip


@pytest.mark.parametrize(("decision", "brought"), [("allow", "code"), ("deny", "error")])
async def test_the_page_waits_for_a_person_if_told_to(
    web: httpx.AsyncClient, acme: SandboxOrg, decision: str, brought: str
) -> None:
    acme.answers.consent_page = True
    told = asking(acme, state='"><script>')

    page = await web.get(AUTHORIZE, params=told)

    assert (page.status_code, "<script>" in page.text) == (200, False)
    assert 'name="decision" value="allow">Allow</button>' in page.text
    assert acme.counters.logins == 0
    reply = await web.post(AUTHORIZE, data=told | {"decision": decision})
    assert led_back(reply).keys() - {"error_description"} == {brought, "state"}


async def test_a_code_works_once(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    form = redeeming(acme, await approved(web, acme))

    assert (await web.post(TOKEN, data=form)).status_code == 200

    assert await refusal(web, form) == (400, "invalid_grant", "expired authorization code")
    assert acme.counters.logins == 1


async def test_a_code_lives_a_quarter_of_an_hour(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    now = datetime.now(UTC)
    early, late = redeeming(acme, await approved(web, acme)), redeeming(acme, await approved(web, acme))

    acme.clock = lambda: now + timedelta(minutes=14)
    assert (await web.post(TOKEN, data=early)).status_code == 200
    acme.clock = lambda: now + timedelta(minutes=15, seconds=10)
    assert await refusal(web, late) == (400, "invalid_grant", "expired authorization code")


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"code_verifier": ""}, "invalid_grant", "missing code verifier"),
        ({"code_verifier": "w" * 43}, "invalid_grant", "invalid code verifier"),
        ({"code_verifier": f"{VERIFIER[:-1]} "}, "invalid_grant", "invalid code verifier"),
        ({"code": "aPrxNever"}, "invalid_grant", "invalid authorization code"),
        ({"redirect_uri": f"{CALLBACK}/"}, "redirect_uri_mismatch", "redirect_uri must match configuration"),
        ({"redirect_uri": ""}, "redirect_uri_mismatch", "redirect_uri must match configuration"),
        ({"client_id": "PlatformCLI", "client_secret": ""}, "invalid_grant", "invalid authorization code"),
        ({"client_secret": "wrong"}, "invalid_client", "invalid client credentials"),
        ({"client_id": "nobody"}, "invalid_client_id", "client identifier invalid"),
    ],
)
async def test_a_code_is_bound_to_its_app_its_callback_and_its_challenge(
    web: httpx.AsyncClient, acme: SandboxOrg, changes: dict[str, str], error: str, text: str
) -> None:
    form = redeeming(acme, await approved(web, acme)) | changes

    assert await refusal(web, form) == (400, error, text)
    assert acme.counters.logins == 0


async def test_a_verifier_without_a_challenge_is_refused(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    form = redeeming(acme, await approved(web, acme, code_challenge=""))

    assert await refusal(web, form) == (400, "invalid_grant", "invalid code verifier")


@pytest.mark.parametrize("length", [42, 171])
async def test_a_verifier_may_be_as_long_as_the_sf_command_makes_it_and_not_too_short(
    web: httpx.AsyncClient, acme: SandboxOrg, length: int
) -> None:
    verifier = "v" * length
    code = await approved(web, acme, code_challenge=challenge(verifier))

    reply = await web.post(TOKEN, data=redeeming(acme, code, code_verifier=verifier))

    assert reply.status_code == (200 if length >= 43 else 400)


async def test_an_app_may_do_without_a_challenge(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    form = redeeming(acme, await approved(web, acme, code_challenge=""), code_verifier="")

    assert (await web.post(TOKEN, data=form)).status_code == 200


async def test_the_secret_may_come_in_a_basic_header(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    form = redeeming(acme, await approved(web, acme), client_id="", client_secret="")

    reply = await web.post(TOKEN, data=form, auth=(acme.client_id, acme.client_secret))

    assert reply.status_code == 200
    garbled = await web.post(TOKEN, data=form, headers={"Authorization": "Basic %%%"})
    assert (garbled.status_code, garbled.json()["error"]) == (401, "invalid_client")


async def test_without_the_scope_there_is_no_refresh_token(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    reply = await web.post(TOKEN, data=redeeming(acme, await approved(web, acme, scope="api")))

    answer: dict[str, Any] = reply.json()
    assert ("refresh_token" in answer, answer["scope"]) == (False, "api")
    assert await works(web, answer["access_token"])


async def test_no_code_and_no_verifier_is_in_the_request_log(web: httpx.AsyncClient, acme: SandboxOrg) -> None:
    code = await approved(web, acme)

    await web.post(TOKEN, data=redeeming(acme, code))

    assert "OauthRedirect" in acme.requests[0].query
    for secret in (code, VERIFIER, acme.client_secret):
        assert secret not in repr(acme.requests)
        assert secret not in repr(acme)

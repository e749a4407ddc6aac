"""A provider that lies signs nobody in: a page says so, an entry says why, and nothing is left of the sign-in.

The rules one by one are in ``tests/oauth/provider/test_oidc.py``; here are their ends, over HTTP.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from orgserver.services.signin.options import CALLBACK_PATH
from tests.conftest import OpenApp
from tests.provider.running import RunningProvider, running_provider

from .composed import URL, Walk, walking
from .world import CALLBACK, parse

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")


@pytest.fixture(scope="module")
def process() -> Iterator[RunningProvider]:
    with running_provider(f"{URL}{CALLBACK_PATH}") as provider:
        yield provider


@pytest.fixture
async def walk(process: RunningProvider, open_again: OpenApp, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Walk]:
    caplog.set_level(logging.DEBUG)
    await process.reset()
    async with open_again() as app, walking(app, process) as opened:
        yield opened
        records = [
            record for record in caplog.get_records("call") if not record.name.startswith(("httpx2", "httpcore2"))
        ]
        assert opened.find_canaries("\n".join(record.getMessage() for record in records)) == []


async def test_an_honest_provider_signs_a_person_in_and_vouches_for_them(walk: Walk) -> None:
    tokens = await walk.get_tokens()
    again = await walk.post_token(refresh_token=tokens["refresh_token"])

    assert again.status_code == 200 and again.json()["refresh_token"] != tokens["refresh_token"]
    assert (await walk.idp.look())["live_grants"] == 1
    assert (await walk.count("requests"), await walk.count("sessions")) == (0, 1)


@pytest.mark.parametrize(
    ("conduct", "reason"),
    [
        ({"claims": {"iss": "https://evil.example.com"}}, "of another issuer"),
        ({"claims": {"aud": ["other"]}}, "for another client"),
        ({"claims": {"aud": [CALLBACK, "orgserver"]}}, "for others, too"),
        ({"claims": {"azp": "other"}}, "azp"),
        ({"claims": {"nonce": "of another request"}}, "nonce"),
        ({"claims": {"at_hash": "of-another-token"}}, "at_hash"),
        ({"claims": {"exp": {"from_now": -61}}}, "do the clocks differ?"),
        ({"claims": {"iat": {"from_now": 120}}}, "do the clocks differ?"),
        ({"signature": "none"}, "algorithm that is not accepted"),
        ({"signature": "HS256"}, "algorithm that is not accepted"),
        ({"signature": "other key"}, "signature is wrong"),
        ({"signature": "missing"}, "no id token"),
        ({"response": {"iss": "https://evil.example.com"}}, "of another provider"),
        ({"response": {"iss": None}}, "does not say which provider"),
        ({"response": {"code": "guessed"}}, "invalid_grant"),
    ],
)
async def test_a_provider_that_lies_signs_nobody_in(walk: Walk, conduct: dict[str, Any], reason: str) -> None:
    await walk.idp.set(**conduct)

    reply = await walk.come_back()
    assert reply.status_code == 502 and "<h1" in reply.text and "evil" not in reply.text
    entry = await walk.last_failure()
    assert (entry.error_code, entry.outcome) == ("SIGNIN_PROVIDER", "denied")
    assert any(reason in each for each in entry.fields or ())
    assert (await walk.count("requests"), await walk.count("sessions")) == (0, 0)
    assert (await walk.http.get(CALLBACK_PATH, params=walk.back)).status_code == 410
    assert (await walk.last_failure()).error_code == "SIGNIN_STATE"


@pytest.mark.parametrize(
    "answer", [{"kind": "status", "status": 503}, {"kind": "html"}, {"kind": "redirect", "location": "https://x/"}]
)
async def test_a_provider_that_is_away_is_a_page_with_a_way_back(walk: Walk, answer: dict[str, Any]) -> None:
    await walk.idp.set(answers={"/token": answer})

    reply = await walk.come_back()
    assert reply.status_code == 503 and "temporarily_unavailable" in reply.text
    assert (await walk.last_failure()).error_code == "SIGNIN_PROVIDER_AWAY"
    assert (await walk.count("requests"), await walk.count("sessions")) == (0, 0)


@pytest.mark.parametrize("error", ["access_denied", "consent_required", "login_required", "interaction_required"])
async def test_whoever_calls_a_sign_in_off_is_told_and_so_is_the_client(walk: Walk, error: str) -> None:
    await walk.idp.set(authorization_error=error)

    reply = await walk.come_back()
    assert "access_denied" in (parse(reply.headers["location"])["error"] if reply.is_redirect else reply.text)
    assert (await walk.last_failure()).error_code == "SIGNIN_DENIED"
    assert await walk.count("requests") == 0


# RFC 6749 §4.1.2, §4.1.2.1: what a client does not know it ignores; a description is not ours to judge
async def test_what_else_a_provider_says_in_its_answer_is_ignored(walk: Walk) -> None:
    more = {"session_state": "x" * 3_000, "error_uri": "", "hint": "Zugriff verweigert: Größe"}

    assert (await walk.come_back(**more)).headers["location"].startswith("/signin/consent/")
    await walk.idp.set(authorization_error="access_denied")
    reply = await walk.come_back(error_description="Der Benutzer hat abgelehnt: Größe")
    assert "access_denied" in (parse(reply.headers["location"])["error"] if reply.is_redirect else reply.text)


async def test_codes_of_entra_are_long(walk: Walk) -> None:
    assert (await walk.come_back(code="0." + "A" * 3_900)).status_code == 502
    assert any("invalid_grant" in each for each in (await walk.last_failure()).fields or ())


# OpenID Connect Core §12.2
@pytest.mark.parametrize(
    ("conduct", "code"),
    [
        ({"refresh_claims": {"sub": "sub-mallory"}}, "SIGNIN_ID_TOKEN"),
        ({"refresh_claims": {"aud": ["other"]}}, "SIGNIN_ID_TOKEN"),
        ({"end": "ada"}, "PROVIDER_ENDED"),
    ],
)
async def test_a_session_that_the_provider_does_not_vouch_for_ends(
    walk: Walk, conduct: dict[str, Any], code: str
) -> None:
    tokens = await walk.get_tokens()
    await walk.idp.set(**conduct)

    reply = await walk.post_token(refresh_token=tokens["refresh_token"])
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")
    assert (await walk.last_failure()).error_code == code
    await walk.idp.reset()
    assert (await walk.post_token(refresh_token=tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_provider_that_is_away_costs_nobody_their_session(walk: Walk) -> None:
    tokens = await walk.get_tokens()
    await walk.idp.set(answers={"/token": {"kind": "status", "status": 502}})

    reply = await walk.post_token(refresh_token=tokens["refresh_token"])
    assert (reply.status_code, reply.json()["error"]) == (503, "temporarily_unavailable")
    assert int(reply.headers["retry-after"]) > 0
    await walk.idp.reset()
    assert (await walk.post_token(refresh_token=tokens["refresh_token"])).status_code == 200

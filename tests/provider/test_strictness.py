"""The provider of the tests is no kinder than real ones: each of these would pass nowhere."""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import pytest

from tests.provider.running import (
    CLIENT_ID,
    CLIENT_SECRET,
    PUBLIC_CLIENT_ID,
    PersonClient,
    RunningProvider,
    read_callback,
    running_provider,
)

CALLBACK = "http://127.0.0.1:9/signin/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def process() -> Iterator[RunningProvider]:
    with running_provider(CALLBACK) as provider:
        yield provider


@pytest.fixture
async def idp(process: RunningProvider) -> RunningProvider:
    await process.reset()
    return process


def url_of(idp: RunningProvider, **changes: str | None) -> str:
    every: dict[str, Any] = {
        "response_type": "code", "client_id": CLIENT_ID, "redirect_uri": CALLBACK, "state": "s", "nonce": "n",
        "scope": "openid offline_access", "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    }  # fmt: skip
    return f"{idp.issuer}/authorize?" + urlencode({k: v for k, v in (every | changes).items() if v is not None})


async def exchange(idp: RunningProvider, person: PersonClient, code: str, **changes: str | None) -> httpx2.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    every = form | {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET} | changes
    return await person.web.post(f"{idp.issuer}/token", data={k: v for k, v in every.items() if v is not None})


def error_of(response: httpx2.Response) -> str:
    return response.json()["error"] if response.status_code >= 400 else "none"


async def test_people_are_sent_back_to_registered_addresses_alone(idp: RunningProvider) -> None:
    async with idp.client() as person:
        for other in (f"{CALLBACK}/", CALLBACK.replace("9", "10"), "https://evil.example.com/", None):
            response = await person.web.get(url_of(idp, redirect_uri=other))
            assert response.status_code == 400


async def test_a_scope_that_it_does_not_know_is_refused(idp: RunningProvider) -> None:
    async with idp.client() as person:
        answer = read_callback(await person.sign_in(url_of(idp, scope="openid orgs:read")))
        assert (answer["error"], answer["state"]) == ("invalid_scope", "s")


async def test_only_people_with_their_password_get_in_and_may_think_better_of_it(idp: RunningProvider) -> None:
    async with idp.client() as person:
        for login, password in (("ada", "x"), ("nobody", "x")):
            values = {"login": login, "password": password, "answer": "yes"}
            assert "password is wrong" in (await person.web.post(url_of(idp), data=values)).text
        assert read_callback(await person.cancel(url_of(idp)))["error"] == "access_denied"


async def test_a_code_is_for_one_use_by_one_client_with_its_verifier(idp: RunningProvider) -> None:
    async with idp.client() as person:
        code = read_callback(await person.sign_in(url_of(idp)))["code"]
        assert error_of(await exchange(idp, person, code, code_verifier="x" * 43)) == "invalid_grant"
        assert error_of(await exchange(idp, person, code, code_verifier=None)) == "invalid_request"
        assert error_of(await exchange(idp, person, code, redirect_uri="http://127.0.0.1:9/x")) == "invalid_grant"
        assert error_of(await exchange(idp, person, code, client_secret="x")) == "invalid_client"
        assert error_of(await exchange(idp, person, code, client_secret=None)) == "invalid_client"
        public = {"client_id": PUBLIC_CLIENT_ID, "client_secret": None}
        assert error_of(await exchange(idp, person, code, **public)) == "invalid_grant"
        assert error_of(await exchange(idp, person, code)) == "none"
        assert error_of(await exchange(idp, person, code)) == "invalid_grant"


async def test_plain_challenges_are_refused(idp: RunningProvider) -> None:
    async with idp.client() as person:
        answer = read_callback(await person.sign_in(url_of(idp, code_challenge_method="plain")))
        assert answer["error"] == "invalid_request"


async def test_a_secret_in_a_header_must_be_encoded(idp: RunningProvider) -> None:
    def basic(secret: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"{CLIENT_ID}:{secret}".encode()).decode()}

    async with idp.client() as person:
        form = {"grant_type": "refresh_token", "refresh_token": "x"}
        errors = [
            error_of(await person.web.post(f"{idp.issuer}/token", data=form, headers=basic(secret)))
            for secret in (quote(CLIENT_SECRET + "%20", safe=""), quote(CLIENT_SECRET, safe=""))
        ]
        assert errors == ["invalid_client", "invalid_grant"]


async def test_a_refresh_token_that_comes_twice_ends_all_that_came_of_it(idp: RunningProvider) -> None:
    async with idp.client() as person:
        tokens = (await exchange(idp, person, read_callback(await person.sign_in(url_of(idp)))["code"])).json()
        show = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "grant_type": "refresh_token"}

        async def refresh(token: str) -> httpx2.Response:
            return await person.web.post(f"{idp.issuer}/token", data=show | {"refresh_token": token})

        second = (await refresh(tokens["refresh_token"])).json()["refresh_token"]
        assert error_of(await refresh(tokens["refresh_token"])) == "invalid_grant"
        assert error_of(await refresh(second)) == "invalid_grant"
        header = {"authorization": f"Bearer {tokens['access_token']}"}
        assert (await person.web.get(f"{idp.issuer}/userinfo", headers=header)).status_code == 401


async def test_what_it_does_not_know_is_no_lie(idp: RunningProvider) -> None:
    with pytest.raises(httpx2.HTTPError):
        await idp.set(kindness=True)

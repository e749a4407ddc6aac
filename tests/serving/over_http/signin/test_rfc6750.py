"""RFC 6750: how an access token of own sign-in is shown at /mcp, and what is said of one that opens nothing."""

import re
from typing import Any

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.access.bearer_tokens import ACCESS, CODE, REFRESH, make_token
from orgserver.model.audit import EntryFilter
from tests.conftest import Clock
from tests.serving.over_http.signin.walk import HERE, Walk

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")

LIST = {"name": "salesforce_list_contacts", "arguments": {"org": "acme"}}
CREATE = {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": "Walker"}}}
_ATTRIBUTE = re.compile(r'([a-z_]+)="([^"]*)"')
_DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
"""§3: what an error_description may hold."""


async def call(
    walk: Walk, authorization: str | None, params: dict[str, Any] = LIST, target: str = "/mcp", **form: Any
) -> httpx2.Response:
    """Call a tool as a client of protocols up to 2025-11-25 does."""
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    headers = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
    if authorization is not None:
        headers["authorization"] = authorization
    async with httpx2.AsyncClient(base_url=walk.served.url, headers=headers, trust_env=False) as client:
        return await client.post(target, **(form or {"json": message}))


def read_challenge(response: httpx2.Response) -> dict[str, str]:
    """The one challenge, whose scheme is Bearer (§3)."""
    (header,) = response.headers.get_list("www-authenticate")
    assert header.startswith("Bearer ")
    names = [name for name, _ in _ATTRIBUTE.findall(header)]
    assert len(names) == len(set(names))  # §3: realm, scope and error at most once
    return dict(_ATTRIBUTE.findall(header))


async def failures(app: App) -> set[str | None]:
    await app.people.auth_failures.close()
    return {entry.error_code for entry in await app.audit_log.newest(EntryFilter(action="auth_failed"), 50)}


async def test_a_token_comes_in_the_header_whose_scheme_is_in_any_case(walk: Walk) -> None:
    token = (await walk.get_tokens("orgs:read"))["access_token"]

    for scheme in ("Bearer", "bearer", "BEARER"):  # §2.1, RFC 9110 §11.1
        assert (await call(walk, f"{scheme} {token}")).status_code == 200


async def test_a_token_in_a_form_or_in_a_query_is_none(walk: Walk) -> None:
    token = (await walk.get_tokens("orgs:read"))["access_token"]

    in_query = await call(walk, None, target=f"/mcp?access_token={token}")  # §2.3
    in_form = await call(walk, None, data={"access_token": token})  # §2.2
    for response in (in_query, in_form):
        assert response.status_code == 401
        assert "error" not in read_challenge(response)  # §3.1: no error for who shows nothing


async def test_who_shows_two_tokens_shows_none(walk: Walk, app: App) -> None:
    token = (await walk.get_tokens("orgs:read"))["access_token"]
    headers = [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")]

    async with httpx2.AsyncClient(base_url=walk.served.url, headers=headers, trust_env=False) as client:
        response = await client.post("/mcp", json={})  # §2: no more than one method in a request
    assert response.status_code == 401
    assert "MALFORMED_AUTHORIZATION" in await failures(app)


async def test_who_shows_nothing_is_told_what_is_needed(walk: Walk) -> None:
    response = await call(walk, None)

    assert response.status_code == 401
    assert read_challenge(response) == {
        "realm": "orgserver",
        "resource_metadata": f"{walk.served.url}/.well-known/oauth-protected-resource/mcp",
        "scope": "orgs:read orgs:write orgs:delete",
    }


@pytest.mark.parametrize("prefix", [ACCESS, REFRESH, CODE])
async def test_a_token_that_nobody_has_or_of_another_kind_opens_nothing(walk: Walk, app: App, prefix: str) -> None:
    token = make_token(prefix).reveal()

    response = await call(walk, f"Bearer {token}")
    challenge = read_challenge(response)
    assert (response.status_code, challenge["error"]) == (401, "invalid_token")  # §3.1
    assert _DESCRIPTION.fullmatch(challenge["error_description"])
    assert token not in response.text + str(challenge)
    assert await failures(app)


async def test_the_tokens_of_a_client_that_are_no_access_tokens_open_nothing(walk: Walk) -> None:
    code = await walk.get_code("orgs:read")
    assert (await call(walk, f"Bearer {code}")).status_code == 401
    form = {"grant_type": "authorization_code", "redirect_uri": HERE, "code_verifier": walk.verifier}
    tokens = (await walk.ask_tokens(code=code, **form)).json()

    assert (await call(walk, f"Bearer {tokens['refresh_token']}")).status_code == 401
    assert (await call(walk, f"Bearer {tokens['access_token']}")).status_code == 200


async def test_an_expired_token_is_said_to_be_that_and_is_on_record(walk: Walk, app: App, clock: Clock) -> None:
    token = (await walk.get_tokens("orgs:read"))["access_token"]
    clock.advance(3_601)

    response = await call(walk, f"Bearer {token}")
    challenge = read_challenge(response)
    assert (response.status_code, challenge["error"]) == (401, "invalid_token")  # §3.1, §5.3: short-lived
    assert "has expired" in challenge["error_description"]
    assert "EXPIRED_TOKEN" in await failures(app)


async def test_a_token_that_was_taken_back_is_said_to_be_that_and_is_on_record(walk: Walk, app: App) -> None:
    tokens = await walk.get_tokens("orgs:read")
    async with httpx2.AsyncClient(base_url=walk.served.url, trust_env=False) as client:
        form = {"client_id": walk.client_id, "token": tokens["refresh_token"]}
        assert (await client.post("/revoke", data=form)).status_code == 200

    response = await call(walk, f"Bearer {tokens['access_token']}")
    assert (response.status_code, read_challenge(response)["error"]) == (401, "invalid_token")
    assert await failures(app) & {"ENDED_TOKEN", "UNKNOWN_TOKEN"}


async def test_a_token_with_too_few_scopes_is_told_all_that_the_next_one_needs(walk: Walk, app: App) -> None:
    token = (await walk.get_tokens("orgs:read"))["access_token"]

    response = await call(walk, f"Bearer {token}", CREATE)
    challenge = read_challenge(response)
    assert (response.status_code, challenge["error"]) == (403, "insufficient_scope")  # §3.1
    assert challenge["scope"] == "orgs:read orgs:write"
    (refused,) = await app.audit_log.newest(EntryFilter(action="create"), 5)
    assert (refused.principal, refused.outcome, refused.decision) == ("ada", "denied", "scope:write")


async def test_answers_with_tokens_are_not_kept_by_caches_and_no_cookie_holds_one(walk: Walk) -> None:
    code = await walk.get_code("orgs:read")
    form = {"grant_type": "authorization_code", "redirect_uri": HERE, "code_verifier": walk.verifier}
    response = await walk.ask_tokens(code=code, **form)
    jar = [value for _, value in walk.browser.headers.items()]

    assert response.headers["cache-control"] == "no-store"  # §5.3, RFC 6749 §5.1
    assert response.headers["pragma"] == "no-cache"
    assert "set-cookie" not in response.headers  # §5.3: never in cookies that are sent in the clear
    assert response.json()["token_type"] == "Bearer"  # §4
    assert not any(value.startswith((ACCESS, REFRESH)) for value in jar)

"""What MCP's chapters on authorization (2025-11-25, 2026-07-28) ask of a server, and of its authorization server."""

import json
from urllib.parse import urlsplit

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.sandbox.server import Sandbox
from tests.serving.over_http.signin.test_rfc6750 import call, read_challenge
from tests.serving.over_http.signin.walk import HERE, Walk, browsing, read_answer, register

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")

OUT_OF_BOUNDS = ("https://evil.example/callback", "http://evil.example/callback", "http://127.0.0.1/other", "app:/cb")


async def get(walk: Walk, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=walk.served.url, trust_env=False) as client:
        return await client.get(path)


# -- finding the authorization server


async def test_the_server_says_who_gives_its_tokens(walk: Walk) -> None:
    """MCP servers MUST implement RFC 9728, and name at least one authorization server; both ways to it are there."""
    told = read_challenge(await call(walk, None))["resource_metadata"]

    for path in (urlsplit(told).path, "/.well-known/oauth-protected-resource"):
        document = (await get(walk, path)).json()
        assert document["resource"] == f"{walk.served.url}/mcp"
        assert document["authorization_servers"] == [walk.served.url]
        assert document["bearer_methods_supported"] == ["header"]


async def test_the_authorization_server_says_where_it_is_asked(walk: Walk) -> None:
    """It MUST provide RFC 8414 or OpenID Connect Discovery; clients MUST refuse one without S256."""
    document = (await get(walk, "/.well-known/oauth-authorization-server")).json()

    assert document["issuer"] == walk.served.url
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["token_endpoint_auth_methods_supported"] == ["none"]
    assert document["client_id_metadata_document_supported"] is True
    assert document["authorization_response_iss_parameter_supported"] is True  # 2026-07-28: MUST advertise
    assert document["scopes_supported"] == ["orgs:read", "orgs:write", "orgs:delete"]
    assert "offline_access" not in document["scopes_supported"]  # 2026-07-28: SHOULD NOT


async def test_older_clients_find_the_endpoints_where_they_were_by_rule(walk: Walk) -> None:
    """2025-03-26: without metadata clients fall back to /authorize, /token and /register."""
    document = (await get(walk, "/.well-known/oauth-authorization-server")).json()

    for name, path in (("authorization", "/authorize"), ("token", "/token"), ("registration", "/register")):
        assert document[f"{name}_endpoint"] == walk.served.url + path


async def test_a_challenge_names_the_scopes(walk: Walk) -> None:
    """Servers SHOULD name the scopes of a resource in the challenge of a 401 (RFC 6750 §3)."""
    assert read_challenge(await call(walk, None))["scope"] == "orgs:read orgs:write orgs:delete"


async def test_the_assertions_of_the_conformance_suite_hold(walk: Walk) -> None:
    """Its scenarios authorization-server-metadata-endpoint and authorization-code-grant; it asks for no scope."""
    metadata = await get(walk, "/.well-known/oauth-authorization-server")
    assert (metadata.status_code, metadata.headers["content-type"]) == (200, "application/json")
    assert metadata.json()["issuer"] == walk.served.url
    assert "code" in metadata.json()["response_types_supported"]

    back = await walk.provider.sign_in(await walk.reach_provider(None))
    page = await walk.browser.get((await walk.browser.get(back)).headers["location"])
    answer = read_answer(await walk.answer(page, "allow", "orgs:read"))
    assert (answer["state"], answer["iss"]) == (walk.state, walk.served.url)
    form = {"grant_type": "authorization_code", "redirect_uri": HERE, "code_verifier": walk.verifier}
    tokens = await walk.ask_tokens(code=answer["code"], resource=f"{walk.served.url}/mcp", **form)
    assert tokens.status_code == 200
    assert "application/json" in tokens.headers["content-type"]
    assert "no-store" in tokens.headers["cache-control"]
    assert (tokens.json()["token_type"], tokens.json()["scope"]) == ("Bearer", "orgs:read")


# -- who may be sent back to where


async def test_nobody_is_sent_where_the_client_did_not_say_before(walk: Walk, app: App) -> None:
    """Authorization servers MUST validate exact redirect URIs against those registered (Open Redirection)."""
    for redirect_uri in OUT_OF_BOUNDS:
        response = await walk.browser.get(walk.authorize_url(redirect_uri=redirect_uri))
        assert response.status_code == 400
        assert "location" not in response.headers
    await app.people.auth_failures.close()
    entries = await app.audit_log.newest(EntryFilter(action="auth_failed"), 5)
    assert sum(entry.row_count or 0 for entry in entries) == len(OUT_OF_BOUNDS)


async def test_redirect_uris_are_https_or_on_this_machine(walk: Walk) -> None:
    """All redirect URIs MUST be either localhost or use HTTPS (Communication Security)."""
    async with httpx2.AsyncClient(base_url=walk.served.url, trust_env=False) as client:
        for redirect_uri in ("http://evil.example/cb", "app:/cb", "https://a.example/cb#x"):
            response = await client.post("/register", json={"client_name": "X", "redirect_uris": [redirect_uri]})
            assert (response.status_code, response.json()["error"]) == (400, "invalid_redirect_uri")


async def test_consent_is_asked_for_each_client_and_each_time(walk: Walk) -> None:
    """Confused deputy: MUST obtain consent for each client before forwarding to the third-party server's answer.

    The person is signed in at the provider already, by the same browser, which skips no question here.
    """
    await walk.get_tokens("orgs:read")
    again = await walk.reach_consent("orgs:read")
    assert again.status_code == 200
    assert "Walker" in again.text
    async with browsing(walk.served.url) as browser:
        other = Walk(walk.served, walk.provider, browser, await register(walk.served, "Somebody else"))
        page = await other.reach_consent("orgs:read")
    assert "Somebody else" in page.text
    assert "127.0.0.1" in page.text  # 2026-07-28: MUST show the host of the redirect URI
    assert "program on your own computer" in page.text  # SHOULD warn where that is all that it names


async def test_a_program_on_this_computer_is_warned_of_also_where_its_client_has_other_places(walk: Walk) -> None:
    walk.client_id = await register(walk.served, "Two places", "https://agent.example.com/callback", HERE)

    assert "program on your own computer" in (await walk.reach_consent("orgs:read")).text


async def test_the_state_of_a_sign_in_is_that_of_the_browser_that_began_it(walk: Walk, app: App) -> None:
    """Proxy servers MUST bind state to who consented, and refuse what does not match (login CSRF)."""
    back = await walk.provider.sign_in(await walk.reach_provider("orgs:read"))
    async with browsing(walk.served.url) as victim:
        response = await victim.get(back)

    assert response.status_code == 400
    assert "location" not in response.headers
    await app.people.auth_failures.close()
    entries = await app.audit_log.newest(EntryFilter(action="auth_failed"), 5)
    assert {entry.error_code for entry in entries} & {"SIGNIN_BROWSER", "SIGNIN_STATE"}


# -- tokens


async def test_codes_are_bound_by_pkce(walk: Walk) -> None:
    """PKCE MUST be used, and with S256: without it nobody is asked anything."""
    for more in ({"code_challenge": None}, {"code_challenge_method": None}, {"code_challenge_method": "plain"}):
        response = await walk.browser.get(walk.authorize_url(**more))
        assert read_answer(response)["error"] == "invalid_request"


async def test_refresh_tokens_rotate_and_a_reused_one_ends_the_session(walk: Walk, app: App) -> None:
    """For public clients, authorization servers MUST rotate refresh tokens (OAuth 2.1 §4.3.1)."""
    first = await walk.get_tokens("orgs:read")
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = (await walk.ask_tokens(**form)).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await call(walk, f"Bearer {second['access_token']}")).status_code == 200

    reused = await walk.ask_tokens(**form)
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
    assert (await call(walk, f"Bearer {second['access_token']}")).status_code == 401
    (entry, *_) = await app.audit_log.newest(EntryFilter(action="key"), 5)
    assert any("reused" in each for each in entry.fields)


async def test_a_token_for_another_resource_is_asked_in_vain(walk: Walk) -> None:
    """Clients MUST send resource; servers MUST validate that tokens were issued for them (RFC 8707)."""
    response = await walk.browser.get(walk.authorize_url(resource="https://other.example.com/mcp"))

    assert read_answer(response)["error"] == "invalid_target"


async def test_every_request_is_judged_by_its_own_token(walk: Walk) -> None:
    """Authorization MUST be in every request, also of one session; sessions MUST NOT be used for authentication."""
    token = (await walk.get_tokens("orgs:read"))["access_token"]
    good = await call(walk, f"Bearer {token}")
    assert good.status_code == 200

    async with httpx2.AsyncClient(base_url=walk.served.url, trust_env=False) as client:
        response = await client.post("/mcp", json={}, headers={"mcp-session-id": "any"})
    assert response.status_code == 401


async def test_a_token_is_passed_on_to_nobody(walk: Walk, sandbox: Sandbox) -> None:
    """Servers MUST NOT pass the token of a client through to upstream APIs; the org takes none but its own."""
    tokens = await walk.get_tokens("orgs:read", "orgs:write")
    assert (await call(walk, f"Bearer {tokens['access_token']}")).status_code == 200

    upstream = " ".join(f"{each.path}?{each.query} {each.body}" for each in sandbox.orgs[0].requests)
    statuses = {each.status for each in sandbox.orgs[0].requests if "/services/data" in each.path}
    assert 200 in statuses
    assert 401 not in statuses
    assert not any(tokens[name] in upstream for name in ("access_token", "refresh_token"))


async def test_what_the_provider_gave_is_no_token_here(walk: Walk) -> None:
    """MCP servers MUST only accept tokens that were issued for them: token passthrough is forbidden."""
    await walk.get_tokens("orgs:read")
    (answer,) = await walk.provider.requests("/token")
    assert answer["grant_type"] == "authorization_code"
    for foreign in (answer["code"], "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ."):
        assert (await call(walk, f"Bearer {foreign}")).status_code == 401


async def test_what_is_missing_is_asked_for_and_no_more(walk: Walk) -> None:
    """Step-up: 403 names the scopes of the call; the person is asked only for those that were not allowed before."""
    token = (await walk.get_tokens("orgs:read"))["access_token"]
    create = {"name": "salesforce_create_contact", "arguments": {"org": "acme", "data": {"LastName": "X"}}}
    challenge = read_challenge(await call(walk, f"Bearer {token}", create))
    assert challenge["error"] == "insufficient_scope"
    assert "resource_metadata" in challenge

    page = await walk.reach_consent(challenge["scope"])
    assert 'name="orgs:write"' in page.text
    assert 'name="orgs:read"' not in page.text
    answer = read_answer(await walk.answer(page, "allow", "orgs:write"))
    form = {"grant_type": "authorization_code", "redirect_uri": HERE, "code_verifier": walk.verifier}
    tokens = (await walk.ask_tokens(code=answer["code"], **form)).json()
    assert tokens["scope"] == "orgs:read orgs:write"
    made = await call(walk, f"Bearer {tokens['access_token']}", create)
    assert made.status_code == 200
    assert not json.loads(made.text[made.text.index("{") :])["result"].get("isError", False)

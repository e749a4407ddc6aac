"""RFC 9207: every answer that goes back to a client says who gives it, so that no other server's is taken for it."""

import pytest

from orgserver.model.secret import Secret
from orgserver.store.signin.requests import SignInRequest

from .world import CALLBACK, URL, World, parse


async def test_a_code_comes_with_the_issuer_that_the_metadata_name(world: World) -> None:
    answer = await world.consent(await world.authorize())

    document = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert document["authorization_response_iss_parameter_supported"] is True  # §3
    assert answer["iss"] == document["issuer"] == URL  # §2, §2.3: identical


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"resource": "https://other.example.com/mcp"}, "invalid_target"),
        ({"request": "e30"}, "request_not_supported"),
        ({"request_uri": "https://agent.example.com/request"}, "request_uri_not_supported"),
    ],
)
async def test_every_error_comes_with_it_too(world: World, changes: dict[str, str | None], error: str) -> None:
    reply = await world.authorize(**changes)

    answer = parse(reply.headers["location"])
    assert reply.headers["location"].startswith(f"{CALLBACK}?")
    assert (answer["error"], answer["iss"]) == (error, URL)  # §2
    assert "code" not in answer
    assert await world.last_failure() == error.upper()


async def test_a_no_and_a_provider_that_is_away_come_with_it(world: World) -> None:
    request = SignInRequest("id", "client", "nonce", Secret("v"), redirect_uri=CALLBACK, client_state="s")

    for url, error in (
        (world.server.deny(request), "access_denied"),
        (world.server.refuse(request, "temporarily_unavailable", "later"), "temporarily_unavailable"),
    ):
        answer = parse(url)
        assert (answer["error"], answer["iss"], answer["state"]) == (error, URL, "s")


async def test_a_client_cannot_put_another_issuer_into_its_own_request(world: World) -> None:
    answer = await world.consent(await world.authorize(iss="https://evil.example"))

    assert answer["iss"] == URL

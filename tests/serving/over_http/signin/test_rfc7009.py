"""RFC 7009: a client gives a token back, and what the person consented to ends with it."""

import pytest

from orgserver.services.signin.tokens.access_tokens import SignedIn, TokenRefusal

from .world import STRANGER, World, error_of


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_either_token_of_its_own_client_ends_the_session_on_record(world: World, kind: str) -> None:
    tokens = await world.sign_in()

    reply = await world.revoke(tokens[kind])

    assert (reply.status_code, reply.headers["cache-control"]) == (200, "no-store")  # §2.2
    assert await world.check(tokens["access_token"]) is TokenRefusal.ENDED  # §2.1: the other token, too
    assert error_of(await world.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    entry = next(entry for entry in await world.entries() if entry.tool == "revoke")
    assert (entry.action, entry.principal, entry.outcome) == ("key", "ada", "succeeded")
    assert "why:revoked by the client" in entry.fields


async def test_a_token_that_is_none_or_over_is_revoked_already(world: World) -> None:
    tokens = await world.sign_in()
    await world.revoke(tokens["refresh_token"])

    for token in ("nothing", tokens["refresh_token"], tokens["access_token"]):
        assert (await world.revoke(token)).status_code == 200  # §2.2


async def test_a_token_of_another_client_stays_and_the_refusal_is_on_record(world: World) -> None:
    tokens = await world.sign_in()

    reply = await world.revoke(tokens["refresh_token"], client_id=STRANGER.client_id)

    assert error_of(reply) == (400, "invalid_grant")  # §2.1
    assert isinstance(await world.check(tokens["access_token"]), SignedIn)
    assert await world.last_failure() == "INVALID_GRANT"


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "something_else"])
async def test_a_wrong_hint_hides_no_token(world: World, hint: str) -> None:
    tokens = await world.sign_in()

    assert (await world.revoke(tokens["refresh_token"], token_type_hint=hint)).status_code == 200

    assert await world.live_sessions() == []  # §2.1: the search is extended to all kinds


async def test_a_code_is_no_token_that_a_client_gives_back(world: World) -> None:
    grant = await world.grant()

    assert (await world.revoke(grant.code)).status_code == 200

    assert (await world.token(grant.form())).status_code == 200


async def test_what_is_missing_is_said(world: World) -> None:
    assert error_of(await world.post("/revoke", {"client_id": "agent-1"})) == (400, "invalid_request")
    assert await world.last_failure() == "INVALID_REQUEST"
    assert error_of(await world.revoke("x", client_id=None)) == (401, "invalid_client")  # §2.1
    assert await world.last_failure() == "INVALID_CLIENT"
    assert error_of(await world.revoke("x", client_id="nobody")) == (401, "invalid_client")


async def test_only_post_revokes(world: World) -> None:
    reply = await world.http.get("/revoke", params={"token": "x"})

    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")  # §2.1

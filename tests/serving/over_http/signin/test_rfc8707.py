"""RFC 8707: tokens are for one resource, this server's MCP endpoint; another server takes none of them."""

from collections.abc import AsyncIterator

import pytest

from orgserver.services.signin.tokens.access_tokens import SignedIn, TokenRefusal

from .world import ELSEWHERE, URL, World, error_of, parse

OURS = f"{URL}/mcp"


@pytest.fixture
async def other(world: World) -> AsyncIterator[World]:
    """A server with another public URL on the same store."""
    opened = World(world.store, ELSEWHERE)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    "resource",
    [
        f"{ELSEWHERE}/mcp",
        URL,
        f"{OURS}/",
        f"{OURS}#fragment",  # §2
        f"{OURS}?org=acme",
        OURS.replace("https", "http"),
        "/mcp",  # §2: absolute
        "orgs.example.com/mcp",
        "https://orgs.example.com:8443/mcp",
        "https://orgs.example.com@evil.example/mcp",
    ],
)
async def test_no_code_is_given_for_anything_else(world: World, resource: str) -> None:
    answer = parse((await world.authorize(resource=resource)).headers["location"])

    assert answer["error"] == "invalid_target"  # §2.1
    assert await world.last_failure() == "INVALID_TARGET"


async def test_of_several_every_one_must_be_ours(world: World) -> None:
    good = list(world.ask().items())

    both = await world.http.get("/authorize", params=[*good, ("resource", OURS), ("resource", OURS)])
    assert "error" not in parse(both.headers["location"])  # §2
    foreign = await world.http.get("/authorize", params=[*good, ("resource", OURS), ("resource", f"{ELSEWHERE}/mcp")])
    assert parse(foreign.headers["location"])["error"] == "invalid_target"


@pytest.mark.parametrize("resource", [None, OURS, "https://ORGS.example.com/mcp"])
async def test_tokens_are_bound_to_this_server_however_its_client_writes_its_name(
    world: World, resource: str | None
) -> None:
    await world.sign_in(resource=resource)

    assert (await world.session()).resource == OURS


async def test_the_token_endpoint_is_asked_for_nothing_else_and_the_code_stays_good(world: World) -> None:
    grant = await world.grant(resource=OURS)

    wrong = await world.token(grant.form(resource=f"{ELSEWHERE}/mcp"))
    assert error_of(wrong) == (400, "invalid_target")  # §2.2
    assert await world.last_failure() == "INVALID_TARGET"
    tokens = (await world.token(grant.form(resource=OURS))).json()
    assert error_of(await world.refresh(tokens["refresh_token"], resource=URL)) == (400, "invalid_target")
    assert (await world.refresh(tokens["refresh_token"], resource=OURS)).status_code == 200


async def test_a_token_of_one_server_opens_nothing_at_another_on_the_same_store(world: World, other: World) -> None:
    tokens = await world.sign_in()

    assert await other.check(tokens["access_token"]) is TokenRefusal.OTHER_RESOURCE
    assert error_of(await other.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert (await other.revoke(tokens["refresh_token"])).status_code == 200
    assert isinstance(await world.check(tokens["access_token"]), SignedIn)
    assert (await world.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_code_of_one_server_gives_nothing_at_another(world: World, other: World) -> None:
    grant = await world.grant()

    assert error_of(await other.token(grant.form())) == (400, "invalid_grant")
    assert (await world.token(grant.form())).status_code == 200

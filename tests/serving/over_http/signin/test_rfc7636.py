"""RFC 7636: a code is of use to nobody but the client that asked for it. S256 alone, and always."""

import pytest

from .world import World, challenge_of, error_of, parse

LONGEST = "v" * 128
SHORTEST = "-._~" + "v" * 39


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None},  # §4.4.1: a server may require it
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": None},  # §4.3: it would mean plain
        {"code_challenge_method": "plain"},  # §4.2, §7.2
        {"code_challenge_method": "s256"},
        {"code_challenge_method": "S512"},
        {"code_challenge": "A" * 42},  # §4.2: SHA-256 in base64url
        {"code_challenge": "A" * 44},
        {"code_challenge": "A" * 42 + "="},
        {"code_challenge": "A" * 42 + "+"},
    ],
)
async def test_a_request_without_a_challenge_by_s256_is_told_so(world: World, changes: dict[str, str | None]) -> None:
    answer = parse((await world.authorize(**changes)).headers["location"])

    assert answer["error"] == "invalid_request"  # §4.4.1
    assert await world.last_failure() == "INVALID_REQUEST"


@pytest.mark.parametrize("verifier", [SHORTEST, LONGEST])
async def test_the_verifier_of_the_challenge_gets_tokens(world: World, verifier: str) -> None:
    grant = await world.grant(code_challenge=challenge_of(verifier))

    assert (await world.token(grant.form(code_verifier=verifier))).status_code == 200  # §4.1, §4.6


@pytest.mark.parametrize(
    ("verifier", "error"),
    [
        (None, "invalid_request"),  # §4.5: a must; a downgrade
        ("w" * 43, "invalid_grant"),  # §4.6
        ("v" * 42, "invalid_request"),  # §4.1
        ("v" * 129, "invalid_request"),
        ("v" * 42 + "/", "invalid_request"),
    ],
)
async def test_another_verifier_gets_nothing_and_spends_the_code(
    world: World, verifier: str | None, error: str
) -> None:
    grant = await world.grant()

    assert error_of(await world.token(grant.form(code_verifier=verifier))) == (400, error)

    assert await world.last_failure() == error.upper()
    assert error_of(await world.token(grant.form())) == (400, "invalid_grant")
    assert await world.live_sessions() == []


async def test_the_challenge_itself_opens_nothing(world: World) -> None:
    grant = await world.grant()

    reply = await world.token(grant.form(code_verifier=challenge_of(grant.verifier)))

    assert error_of(reply) == (400, "invalid_grant")  # §7.2: it crossed the browser


async def test_a_challenge_is_good_for_its_own_code(world: World) -> None:
    first, second = await world.grant(), await world.grant()

    assert error_of(await world.token(first.form(code_verifier=second.verifier))) == (400, "invalid_grant")
    assert (await world.token(second.form())).status_code == 200

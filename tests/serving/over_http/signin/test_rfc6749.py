"""RFC 6749: what an authorization server must do at its two endpoints, section by section."""

import asyncio
import html
import re
from urllib.parse import urlsplit

import pytest

from orgserver.services.signin.tokens.access_tokens import SignedIn, TokenRefusal
from orgserver.services.signin.tokens.issuance import CODE_REPLAYED, REFRESH_REUSED
from tests.conftest import Clock

from .world import AGENT, CALLBACK, DESKTOP, STRANGER, URL, World, error_of, merge, parse

DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
"""What an error's description may hold (§4.1.2.1, §5.2)."""


# §3.1 The authorization endpoint.


async def test_parameters_without_a_value_are_missing_and_unknown_ones_ignored(world: World) -> None:
    assert (await world.authorize(scope="", unheard_of="x")).status_code == 303  # §3.1

    reply = await world.authorize(code_challenge="")

    assert parse(reply.headers["location"])["error"] == "invalid_request"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state", "scope", "code_challenge", "unheard_of"])
async def test_a_parameter_that_comes_twice_is_refused_on_a_page(world: World, name: str) -> None:
    good = {"unheard_of": "x"} | world.ask()

    reply = await world.http.get("/authorize", params=[*good.items(), (name, good[name])])

    assert (reply.status_code, "location" in reply.headers) == (400, False)  # §3.1
    assert f"{name} came more than once" in reply.text
    assert await world.last_failure() == "INVALID_REQUEST"


async def test_a_request_may_come_by_get_and_by_post(world: World) -> None:
    assert (await world.authorize()).status_code == 303  # §3.1: GET is a must
    assert (await world.http.post("/authorize", data=world.ask())).status_code == 303
    assert (await world.http.put("/authorize", data=world.ask())).status_code == 405
    assert (await world.http.post("/authorize", json=world.ask())).status_code == 415


async def test_the_response_type_is_needed_and_there_is_one(world: World) -> None:
    for response_type, error in ((None, "invalid_request"), ("token", "unsupported_response_type")):  # §3.1.1
        reply = await world.authorize(response_type=response_type)
        assert parse(reply.headers["location"])["error"] == error
        assert await world.last_failure() == error.upper()


# §3.1.2 Where people are sent back to.


@pytest.mark.parametrize(
    "redirect_uri",
    [
        f"{CALLBACK}#fragment",
        f"{CALLBACK}?more=1",
        f"{CALLBACK}/",
        CALLBACK.replace("http", "https"),
        CALLBACK.replace("127.0.0.1", "localhost"),
        "https://attacker.example.com/callback",
        "//agent.example.com/callback",
        'https://agent.example.com/call"back',
    ],
)
async def test_nobody_is_sent_to_a_place_that_is_not_the_clients_own(world: World, redirect_uri: str) -> None:
    reply = await world.authorize(redirect_uri=redirect_uri)

    assert (reply.status_code, "location" in reply.headers) == (400, False)  # §3.1.2.4
    assert redirect_uri not in reply.text
    assert await world.last_failure() == "INVALID_REQUEST"


async def test_an_unknown_client_is_told_to_the_person_alone(world: World) -> None:
    for client_id in ("nobody", None):
        reply = await world.authorize(client_id=client_id)
        assert (reply.status_code, "location" in reply.headers) == (400, False)  # §4.1.2.1
    entries = [entry.error_code for entry in await world.entries()]
    assert entries[:2] == ["INVALID_REQUEST", "UNKNOWN_CLIENT"]


async def test_a_client_with_several_places_must_name_one_and_one_with_a_single_place_need_not(world: World) -> None:
    reply = await world.authorize(client_id=DESKTOP.client_id, redirect_uri=None)
    assert reply.status_code == 400  # §3.1.2.3

    grant = await world.grant(redirect_uri=None)
    assert world.location.startswith(f"{CALLBACK}?")
    assert (await world.token(grant.form(redirect_uri=None))).status_code == 200  # §4.1.3


# §3.2 The token endpoint.


async def test_tokens_are_given_by_post_of_a_form_alone(world: World) -> None:
    form = (await world.grant()).form()

    reply = await world.http.get("/token", params=form)
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")  # §3.2
    assert (await world.http.post("/token", json=form)).status_code == 415
    assert (await world.http.post("/token", params=form)).status_code == 415
    too_long = await world.http.post("/token", data=form | {"more": "x" * 70_000})
    assert error_of(too_long) == (413, "invalid_request")
    assert (await world.token(form)).status_code == 200


async def test_a_parameter_that_comes_twice_at_the_token_endpoint_is_refused(world: World) -> None:
    form = (await world.grant()).form()

    twice = await world.http.post("/token", data={**form, "code": [form["code"], "osc_other"]})

    assert error_of(twice) == (400, "invalid_request")  # §3.2
    assert await world.last_failure() == "INVALID_REQUEST"
    assert (await world.token(form | {"unheard_of": "x", "scope": ""})).status_code == 200


async def test_a_client_names_itself_and_has_no_secret(world: World) -> None:
    grant = await world.grant()

    for form in (grant.form(client_id=None), grant.form(client_id="nobody"), grant.form(client_secret="s3cret")):
        assert error_of(await world.token(form)) == (401, "invalid_client")  # §3.2.1, §5.2
        assert await world.last_failure() == "INVALID_CLIENT"
    basic = await world.post("/token", grant.form(), authorization="Basic YWdlbnQtMTp4")
    assert error_of(basic) == (401, "invalid_client")
    assert basic.headers["www-authenticate"].startswith("Basic ")  # §5.2
    assert (await world.token(grant.form())).status_code == 200


# §3.3 Scopes.


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        (None, "orgs:read"),
        ("orgs:write orgs:read", "orgs:read orgs:write"),
        ("openid orgs:delete audit:read", "orgs:delete"),
    ],
)
async def test_the_answer_says_the_scopes_in_whatever_order_they_were_asked_for(
    world: World, scope: str | None, granted: str
) -> None:
    tokens = await world.sign_in(scope=scope)

    assert tokens["scope"] == granted  # §3.3, §5.1


@pytest.mark.parametrize("scope", ["openid", "ORGS:READ", "orgs:reads"])
async def test_scopes_of_which_there_are_none_are_refused(world: World, scope: str) -> None:
    reply = await world.authorize(scope=scope)

    assert parse(reply.headers["location"])["error"] == "invalid_scope"  # §3.3: case counts
    assert await world.last_failure() == "INVALID_SCOPE"


# §4.1.2 The code.


async def test_a_code_is_used_once_and_a_replay_ends_what_it_gave_on_record(world: World) -> None:
    grant = await world.grant()
    tokens = (await world.token(grant.form())).json()
    assert isinstance(await world.check(tokens["access_token"]), SignedIn)

    replay = await world.token(grant.form())

    assert error_of(replay) == (400, "invalid_grant")  # §4.1.2, §10.5
    assert await world.check(tokens["access_token"]) is TokenRefusal.ENDED
    assert error_of(await world.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    entry = next(entry for entry in await world.entries() if entry.action == "key")
    assert f"why:{CODE_REPLAYED}" in entry.fields
    assert (await world.session()).ended_why == CODE_REPLAYED


async def test_a_code_replayed_at_the_same_time_gives_tokens_to_nobody_for_long(world: World) -> None:
    grant = await world.grant()

    replies = await asyncio.gather(*(world.token(grant.form()) for _ in range(4)))

    assert sorted(reply.status_code for reply in replies) == [200, 400, 400, 400]
    assert await world.live_sessions() == []


async def test_a_code_is_good_for_a_minute(world: World, clock: Clock) -> None:
    late = await world.grant()
    clock.advance(61)
    assert error_of(await world.token(late.form())) == (400, "invalid_grant")  # §4.1.2

    early = await world.grant()
    clock.advance(58)
    assert (await world.token(early.form())).status_code == 200


async def test_a_code_is_bound_to_its_client_and_stays_good_for_it(world: World) -> None:
    grant = await world.grant()

    assert error_of(await world.token(grant.form(client_id=STRANGER.client_id))) == (400, "invalid_grant")  # §4.1.3
    assert (await world.token(grant.form())).status_code == 200


@pytest.mark.parametrize("redirect_uri", [None, f"{CALLBACK}/", "https://attacker.example.com/callback"])
async def test_the_same_place_must_be_named_again_and_a_wrong_one_spends_the_code(
    world: World, redirect_uri: str | None
) -> None:
    grant = await world.grant()

    assert error_of(await world.token(grant.form(redirect_uri=redirect_uri))) == (400, "invalid_grant")  # §4.1.3
    assert error_of(await world.token(grant.form())) == (400, "invalid_grant")
    assert await world.live_sessions() == []


async def test_the_port_of_a_loopback_address_is_the_clients_to_choose_and_must_stay(world: World) -> None:
    here = {"client_id": DESKTOP.client_id, "redirect_uri": "http://localhost:43210/cb"}
    first, second = await world.grant(**here), await world.grant(**here)

    assert (await world.token(first.form(**here))).status_code == 200  # RFC 8252 §7.3
    other = here | {"redirect_uri": "http://localhost:43211/cb"}
    assert error_of(await world.token(second.form(**other))) == (400, "invalid_grant")


@pytest.mark.parametrize("state", ["plain", "a b+c/=&?#", '"<\\>', "~" * 1_024])
async def test_the_state_comes_back_as_it_was_with_the_code_and_with_errors(world: World, state: str) -> None:
    assert (await world.consent(await world.authorize(state=state)))["state"] == state  # §4.1.2

    reply = await world.authorize(state=state, scope="openid")
    assert parse(reply.headers["location"])["state"] == state  # §4.1.2.1


async def test_without_a_state_none_comes_back(world: World) -> None:
    assert "state" not in await world.consent(await world.authorize(state=None))


async def test_what_the_client_has_put_into_its_uri_stays_there(world: World) -> None:
    with_query = "https://stranger.example.com/cb?tenant=a%2Fb&flag"
    client = type(STRANGER)("queries-1", "registered", "Queries", (with_query,))
    await world.register(client)

    await world.consent(await world.authorize(client_id="queries-1", redirect_uri=with_query))
    assert world.location.startswith(f"{with_query}&code=osc_")  # §3.1.2

    reply = await world.authorize(client_id="queries-1", redirect_uri=with_query, scope="openid")
    assert html.escape(f"{with_query}&error=invalid_scope") in reply.text  # a link: RFC 9700 §4.11.2


# §5 Answers of the token endpoint.


async def test_tokens_are_json_that_nobody_keeps(world: World) -> None:
    reply = await world.token((await world.grant()).form())

    assert reply.headers["content-type"] == "application/json"  # §5.1
    assert (reply.headers["cache-control"], reply.headers["pragma"]) == ("no-store", "no-cache")
    tokens = reply.json()
    assert tokens.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3_600)


async def test_an_access_token_ends_when_it_says(world: World, clock: Clock) -> None:
    tokens = await world.sign_in()

    clock.advance(3_598)
    assert isinstance(await world.check(tokens["access_token"]), SignedIn)
    clock.advance(3)
    assert await world.check(tokens["access_token"]) is TokenRefusal.EXPIRED


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": 'pass"word\\'}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"code": None}, 400, "invalid_request"),
        ({"code": "osc_nothing"}, 400, "invalid_grant"),
        ({"code": '"\\'}, 400, "invalid_grant"),
    ],
)
async def test_refusals_are_of_the_rfcs_words_and_signs(
    world: World, changes: dict[str, str | None], status: int, error: str
) -> None:
    reply = await world.token((await world.grant()).form(**changes))

    assert error_of(reply) == (status, error)  # §5.2
    assert (reply.headers["cache-control"], reply.headers["pragma"]) == ("no-store", "no-cache")
    assert DESCRIPTION.fullmatch(reply.json().get("error_description", " "))
    assert await world.last_failure() == error.upper()


# §6 Refreshing.


async def test_a_refresh_gives_both_tokens_anew_and_ends_the_old_ones_on_record(world: World) -> None:
    old = await world.sign_in()

    new = (await world.refresh(old["refresh_token"])).json()

    assert new["scope"] == old["scope"]  # §6: as they were where none are asked for
    assert isinstance(await world.check(new["access_token"]), SignedIn)
    assert await world.check(old["access_token"]) is TokenRefusal.UNKNOWN
    entry = (await world.entries())[0]
    assert (entry.action, entry.tool, entry.principal, entry.outcome) == ("refresh", "sign-in", "ada", "succeeded")
    assert f"client:{AGENT.client_id}" in entry.fields


async def test_a_refresh_token_that_is_used_again_ends_the_session_on_record(world: World) -> None:
    old = await world.sign_in()
    new = (await world.refresh(old["refresh_token"])).json()

    assert error_of(await world.refresh(old["refresh_token"])) == (400, "invalid_grant")  # §10.4

    assert await world.check(new["access_token"]) is TokenRefusal.ENDED
    assert error_of(await world.refresh(new["refresh_token"])) == (400, "invalid_grant")
    assert (await world.session()).ended_why == REFRESH_REUSED
    assert any(f"why:{REFRESH_REUSED}" in entry.fields for entry in await world.entries())


async def test_a_refresh_token_is_bound_to_its_client(world: World) -> None:
    tokens = await world.sign_in()

    reply = await world.refresh(tokens["refresh_token"], client_id=STRANGER.client_id)

    assert error_of(reply) == (400, "invalid_grant")  # §6, §10.4
    assert (await world.refresh(tokens["refresh_token"])).status_code == 200


async def test_no_scope_is_added_by_a_refresh_and_a_narrower_one_is_for_that_token_alone(world: World) -> None:
    tokens = await world.sign_in()

    for scope in ("orgs:read orgs:delete", "orgs:read openid", " "):
        assert error_of(await world.refresh(tokens["refresh_token"], scope=scope)) == (400, "invalid_scope")  # §6
        assert await world.last_failure() == "INVALID_SCOPE"
    narrow = (await world.refresh(tokens["refresh_token"], scope="orgs:read  orgs:read")).json()
    signed_in = await world.check(narrow["access_token"])
    assert isinstance(signed_in, SignedIn)
    assert (narrow["scope"], signed_in.scopes) == ("orgs:read", {"read"})
    assert (await world.refresh(narrow["refresh_token"])).json()["scope"] == tokens["scope"]  # §6: identical


async def test_other_kinds_of_tokens_refresh_nothing(world: World) -> None:
    tokens = await world.sign_in()

    for token in (tokens["access_token"], "osr_nothing", "x"):
        assert error_of(await world.refresh(token)) == (400, "invalid_grant")
    assert error_of(await world.token({"grant_type": "refresh_token", "client_id": AGENT.client_id})) == (
        400,
        "invalid_request",
    )


# §10 Security.


async def test_codes_and_tokens_cannot_be_guessed(world: World) -> None:
    grant = await world.grant()
    tokens = (await world.token(grant.form())).json()

    for text in (grant.code, tokens["access_token"], tokens["refresh_token"]):
        assert re.fullmatch(r"os[ctr]_[0-9A-Za-z]{43}[0-9A-Za-z]{6}", text)  # §10.10: 43 digits of 62 are 256 bits


async def test_a_sign_in_is_bound_to_the_browser_that_began_it(world: World) -> None:
    reply = await world.authorize()

    cookie = reply.headers["set-cookie"]
    assert cookie.startswith("__Host-orgserver-signin=")  # §10.12
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    state = parse(reply.headers["location"])["state"]
    assert len(state) == 43  # base64url of 256 bits
    assert state != parse((await world.authorize()).headers["location"])["state"]


async def test_pages_cannot_be_framed_and_redirects_are_never_307(world: World) -> None:
    page = await world.authorize(client_id="nobody")
    assert page.headers["x-frame-options"] == "DENY"  # §10.13

    reply = await world.authorize()
    assert (reply.status_code, reply.headers["referrer-policy"]) == (303, "no-referrer")
    assert urlsplit(reply.headers["location"]).netloc == "idp.example.com"


async def test_another_name_of_the_server_answers_no_client_and_sends_people_on(world: World) -> None:
    world.admitted = "https://alias.example.com"

    assert (await world.http.post("/token", data={})).status_code == 404
    query = merge(world.ask(), {"state": "s"})
    reply = await world.http.get("/authorize", params=query)

    assert reply.status_code == 302
    assert reply.headers["location"].startswith(f"{URL}/authorize?")
    assert parse(reply.headers["location"]) == query

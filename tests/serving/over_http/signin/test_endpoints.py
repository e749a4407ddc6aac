"""Paths of sign-in: how often they answer, what they say while the store is away, and what a body may be."""

import asyncio
from typing import Any

import pytest

from orgserver.model.errors import StoreError
from orgserver.oauth.provider.refusals import ProviderUnavailable
from orgserver.store.signin.requests import MAX_OF_BROWSER

from .world import URL, World, error_of


async def test_a_source_that_comes_too_often_waits_and_others_do_not(world: World) -> None:
    world.source = "198.51.100.7"
    replies = [await world.token({"grant_type": "x"}) for _ in range(12)]

    limited = [reply for reply in replies if reply.status_code == 429]
    assert limited
    assert error_of(limited[0]) == (429, "temporarily_unavailable")
    assert int(limited[0].headers["retry-after"]) >= 1
    page = await world.authorize()
    assert (page.status_code, page.headers["retry-after"]) == (429, "1")
    assert "Not now" in page.text
    world.source = "198.51.100.8"
    assert (await world.authorize()).status_code == 303


async def test_a_network_of_ipv6_is_one_source_however_many_addresses_it_uses(world: World) -> None:
    replies = []
    for number in range(12):
        world.source = f"2001:db8:0:7::{number:x}"
        replies.append(await world.token({"grant_type": "x"}))

    assert 429 in {reply.status_code for reply in replies}
    world.source = "2001:db8:0:8::1"
    assert (await world.authorize()).status_code == 303


async def test_while_the_store_is_away_nothing_is_half_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grant = await world.grant()

    async def refuse(*_arguments: Any, **_more: Any) -> None:
        raise StoreError("the store is busy")

    with monkeypatch.context() as away:
        away.setattr(world.store.database, "write", refuse)
        reply = await world.token(grant.form())
        assert error_of(reply) == (503, "temporarily_unavailable")
        assert reply.headers["retry-after"] == "2"
        page = await world.authorize()
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert (await world.token(grant.form())).status_code == 200


async def test_while_the_provider_is_away_a_page_says_so_and_leads_back_to_the_client(world: World) -> None:
    world.provider.failure = ProviderUnavailable("no answer", retry_after=4.0)

    page = await world.authorize(state="s")

    assert (page.status_code, page.headers["retry-after"]) == (503, "4")
    assert "error=temporarily_unavailable" in page.text
    assert await world.last_failure() == "PROVIDER_UNAVAILABLE"


async def test_a_browser_begins_so_many_sign_ins_at_a_time(world: World) -> None:
    replies = [await world.authorize() for _ in range(3)]
    browser = world.http.cookies["__Host-orgserver-signin"]
    assert {reply.headers["set-cookie"].split(";")[0].split("=", 1)[1] for reply in replies[1:]} == {browser}

    await asyncio.gather(*(world.authorize() for _ in range(MAX_OF_BROWSER - 3)))
    page = await world.authorize()

    assert page.status_code == 503
    assert "Too many sign-ins" in page.text


@pytest.mark.parametrize(
    "query",
    [
        "client_id=%ff",
        "client_id=%c3%a4",
        "client_id=a%0ab",
        "client_id=" + "x" * 3_000,
        "state=" + "x" * 1_025,
        "&".join(f"a{number}=1" for number in range(70)),
    ],
)
async def test_parameters_that_no_client_sends_are_refused(world: World, query: str) -> None:
    reply = await world.http.get(f"{URL}/authorize?{query}")

    assert (reply.status_code, await world.last_failure()) == (400, "INVALID_REQUEST")


async def test_a_cookie_that_was_not_made_here_is_not_used(world: World) -> None:
    for cookie in ("short", "x" * 44, "x" * 42 + "!"):
        reply = await world.http.get(
            "/authorize", params=world.ask(), headers={"cookie": f"__Host-orgserver-signin={cookie}"}
        )
        assert cookie not in reply.headers["set-cookie"]


async def test_whoever_looks_at_a_pages_head_begins_nothing(world: World) -> None:
    assert (await world.http.head(f"{URL}/authorize?client_id=x")).status_code == 405
    assert (await world.http.head(f"{URL}/.well-known/oauth-authorization-server")).status_code == 200

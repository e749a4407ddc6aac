"""Sign-ins under way: once, in the browser that began them, for ten minutes, and secret in the store."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from orgserver.model.access.principals import Subject
from orgserver.model.digests import digest_text
from orgserver.store.signin import requests, tables
from orgserver.store.signin.requests import MAX_OF_BROWSER, RequestRefusal, SignInRequest

from .world import BROWSER, ISSUER, MINUTE, OTHER, World


async def test_what_a_client_asked_comes_back_with_the_providers_answer_once(world: World) -> None:
    request = await world.begin()

    assert await world.take() == request
    assert await world.take() is RequestRefusal.SPENT
    assert await world.take("another state") is RequestRefusal.UNKNOWN


async def test_no_browser_but_the_one_that_began_goes_on(world: World) -> None:
    request = await world.begin()

    assert await world.take(browser=OTHER) is RequestRefusal.OTHER_BROWSER
    assert await world.take(browser=None) is RequestRefusal.OTHER_BROWSER
    assert await world.take() == request


async def test_after_ten_minutes_it_is_over(world: World) -> None:
    await world.begin()
    world.clock.now += 10 * MINUTE

    assert await world.take() is RequestRefusal.EXPIRED
    await world.begin("another")
    assert await world.take() is RequestRefusal.UNKNOWN, "what begins takes out what is over"


async def test_consent_is_asked_in_the_same_browser_and_answered_once(world: World) -> None:
    await world.add_people("ada")
    request_id = await world.await_consent()

    waiting = await world.read(lambda connection: world.requests.find(connection, request_id, BROWSER))
    foreign = await world.read(lambda connection: world.requests.find(connection, request_id, OTHER))
    assert isinstance(waiting, SignInRequest)
    assert (waiting.principal, waiting.person_name, waiting.subject) == ("ada", "Ada", Subject(ISSUER, "ada"))
    assert waiting.provider_token is not None
    assert waiting.provider_token.reveal() == "prt"
    assert foreign is RequestRefusal.OTHER_BROWSER
    finish = lambda browser: world.write(lambda tx: world.requests.finish_in(tx, request_id, browser))  # noqa: E731
    assert await finish(OTHER) is RequestRefusal.OTHER_BROWSER
    assert await finish(BROWSER) == waiting
    assert await finish(BROWSER) is RequestRefusal.UNKNOWN


async def test_nobody_consents_before_the_provider_has_answered(world: World) -> None:
    request = await world.begin()
    assert request is not None
    before = await world.read(lambda connection: world.requests.find(connection, request.id, BROWSER))
    await world.take()

    assert before is RequestRefusal.SPENT
    assert await world.write(lambda tx: world.requests.finish_in(tx, request.id, BROWSER)) is RequestRefusal.SPENT


async def test_one_browser_begins_no_more_than_twenty(world: World) -> None:
    begun = [await world.begin(f"state {each}") for each in range(MAX_OF_BROWSER + 1)]

    assert None not in begun[:-1]
    assert begun[-1] is None
    assert await world.begin("in another", OTHER) is not None


async def test_strangers_who_begin_many_keep_nobody_from_signing_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_REQUESTS", 3)
    await world.add_people("ada")
    await world.await_consent("who is about to consent")
    for number in range(5):
        assert await world.begin(f"of a stranger {number}", OTHER) is not None
    assert await world.begin("ada's") is not None

    rows = await world.write(lambda tx: tx.connection.execute(select(tables.requests.c.stage)).scalars().all())
    assert sorted(rows) == ["consent", "provider", "provider"]
    assert isinstance(await world.take("ada's"), SignInRequest)


async def test_a_row_of_an_earlier_stage_that_is_put_back_does_not_open(world: World) -> None:
    request = await world.begin()
    assert request is not None
    own = tables.requests.c.id == request.id
    sealed = await world.write(lambda tx: tx.connection.execute(select(tables.requests.c.sealed).where(own)).scalar())
    await world.take()
    back = {"sealed": sealed, "stage": "consent"}
    await world.write(lambda tx: tx.connection.execute(update(tables.requests).where(own).values(back)))

    assert await world.write(lambda tx: world.requests.finish_in(tx, request.id, BROWSER)) is RequestRefusal.UNKNOWN


async def test_no_secret_of_it_lies_in_the_store(world: World, store_file: Path) -> None:
    await world.add_people("ada")
    await world.begin("first")
    await world.await_consent("second", token="provider-canary")

    kept = b"".join(each.read_bytes() for each in store_file.parent.iterdir() if each.is_file())
    assert b"https://client.example/cb" in kept
    assert b"-canary" not in kept


CHANGES: dict[str, Any] = {
    "kind": "me", "purpose": "approve", "client_id": "another", "redirect_uri": "https://evil.example/cb",
    "has_redirect_uri": False, "scopes": '["orgs:delete"]', "resource": "https://evil.example/mcp",
    "code_challenge": "of another", "principal": "admin", "auth_time": 8, "expires_at": 1_900_000_000_000_000,
}  # fmt: skip
"""Of each column that says where a code goes, for whom, what for or until when."""


@pytest.mark.parametrize(("column", "value"), CHANGES.items())
@pytest.mark.parametrize("stage", ["provider", "exchange", "consent"])
async def test_no_column_of_a_sign_in_is_changed_by_another_hand(
    world: World, stage: str, column: str, value: Any
) -> None:
    await world.add_people("ada", "admin")
    request = await world.begin()
    assert request is not None
    if stage != "provider":
        assert await world.take() == request
    if stage == "consent":
        assert await answer(world, request)
    change = update(tables.requests).where(tables.requests.c.id == request.id).values({column: value})
    await world.write(lambda tx: tx.connection.execute(change))

    if stage == "provider":
        assert await world.take() is RequestRefusal.UNKNOWN
    elif stage == "exchange":
        assert not await answer(world, request)
    else:
        assert await world.read(lambda on: world.requests.find(on, request.id, BROWSER)) is RequestRefusal.UNKNOWN
        assert await world.write(lambda tx: world.requests.finish_in(tx, request.id, BROWSER)) is RequestRefusal.UNKNOWN


@pytest.mark.parametrize("column", ["browser_digest", "state_digest"])
async def test_no_other_browser_or_state_is_written_into_a_sign_in(world: World, column: str) -> None:
    request = await world.begin()
    assert request is not None
    stolen = digest_text("of whoever writes the row")
    change = update(tables.requests).where(tables.requests.c.id == request.id).values({column: stolen})
    await world.write(lambda tx: tx.connection.execute(change))

    own = {"browser_digest": ("state", stolen), "state_digest": ("of whoever writes the row", BROWSER)}
    assert await world.take(*own[column]) is RequestRefusal.UNKNOWN


async def test_what_nobody_changed_goes_from_stage_to_stage(world: World) -> None:
    await world.add_people("ada")
    request = await world.begin(purpose=None, code_challenge=None, resource=None, scopes=())
    assert request is not None

    assert await world.take() == request
    assert await answer(world, request)
    finished = await world.write(lambda tx: world.requests.finish_in(tx, request.id, BROWSER))
    assert isinstance(finished, SignInRequest)
    assert (finished.redirect_uri, finished.principal, finished.auth_time) == (request.redirect_uri, "ada", 7)


async def answer(world: World, request: SignInRequest) -> bool:
    """Have the provider say who it is."""
    return await world.write(
        lambda tx: world.requests.await_consent_in(
            tx, request, principal="ada", person_name="Ada", subject=Subject(ISSUER, "ada"), auth_time=7,
            provider_token=None,
        )
    )  # fmt: skip

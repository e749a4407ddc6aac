"""Step-up: a call that needs more says what; the second round asks for what is missing alone, and brings both."""

import re

import httpx2
import pytest
from sqlalchemy import update

from orgserver.app import App
from orgserver.model.access.principals import Subject
from orgserver.store.signin import sessions as stored_sessions
from orgserver.store.signin import tables
from tests.people import add_principal, change_principal

from .walk import HERE, Walk, read_answer, register

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")

CREATE = {"org": "acme", "data": {"LastName": "Step"}}
_BOX = re.compile(r'<input type="checkbox" name="([a-z:]+)"')


def boxes(page: httpx2.Response) -> list[str]:
    """What a person is asked to allow."""
    assert page.status_code == 200
    return _BOX.findall(page.text)


async def get_scope(walk: Walk, page: httpx2.Response, *scopes: str) -> str:
    """What a yes gives."""
    answer = read_answer(await walk.answer(page, "allow", *scopes), walk.redirect_uri)
    return (await walk.exchange(answer["code"])).json()["scope"]


async def test_one_more_round_is_enough(walk: Walk) -> None:
    first = await walk.get_tokens("orgs:read")
    refused = await walk.call(first["access_token"], "salesforce_create_contact", **CREATE)
    assert refused.status_code == 403
    (scope,) = re.findall(r'scope="([^"]+)"', refused.headers["www-authenticate"])
    assert scope == "orgs:read orgs:write"

    page = await walk.reach_consent(scope)
    assert boxes(page) == ["orgs:write"]
    assert "You have allowed this client already" in page.text
    answer = read_answer(await walk.answer(page, "allow", "orgs:write"))
    second = (await walk.exchange(answer["code"])).json()

    assert second["scope"] == "orgs:read orgs:write"
    for tool, arguments in (("salesforce_create_contact", CREATE), ("salesforce_list_contacts", {"org": "acme"})):
        assert '"isError":true' not in (await walk.call(second["access_token"], tool, **arguments)).text.replace(
            " ", ""
        )
    (consent, *_) = await walk.entries(tool="consent")
    assert "scopes:orgs:read orgs:write" in (consent.fields or ())
    again = await walk.call(first["access_token"], "salesforce_create_contact", **CREATE)
    assert again.status_code == 403, "the first token stays what it was"


async def test_what_was_allowed_stays_where_the_rest_is_not(walk: Walk) -> None:
    await walk.get_tokens("orgs:read")

    page = await walk.reach_consent("orgs:read orgs:write orgs:delete")
    assert boxes(page) == ["orgs:write", "orgs:delete"]
    assert await get_scope(walk, page, "orgs:delete") == "orgs:read orgs:delete"
    nothing_new = await walk.reach_consent("orgs:read orgs:write")
    assert boxes(nothing_new) == ["orgs:write"]
    assert await get_scope(walk, nothing_new) == "orgs:read"


async def test_a_client_gets_nothing_that_it_did_not_ask_for(walk: Walk) -> None:
    await walk.get_tokens("orgs:read", "orgs:write")

    page = await walk.reach_consent("orgs:write")
    assert boxes(page) == []
    assert await get_scope(walk, page, "orgs:delete", "audit:read") == "orgs:write"
    page = await walk.reach_consent("orgs:delete")
    assert boxes(page) == ["orgs:delete"]
    assert await get_scope(walk, page, "orgs:delete", "orgs:read", "orgs:write") == "orgs:delete"


async def test_the_port_of_a_program_is_no_other_place(walk: Walk) -> None:
    await walk.get_tokens("orgs:read")
    walk.redirect_uri = HERE.replace("4711", "4712")

    page = await walk.reach_consent("orgs:read orgs:write")
    assert boxes(page) == ["orgs:write"]
    assert await get_scope(walk, page, "orgs:write") == "orgs:read orgs:write"


async def test_what_one_client_place_person_or_server_was_allowed_is_asked_for_any_other(walk: Walk, app: App) -> None:
    own, both = walk.client_id, ["orgs:read", "orgs:write"]
    subject = Subject(walk.provider.issuer, "sub-grace")
    await add_principal(app, "grace", "globex:read", subjects=(subject,))
    elsewhere = "https://agent.example.com/callback"
    walk.client_id = await register(walk.served, "Two places", HERE, elsewhere)
    await walk.get_tokens(*both)
    assert boxes(await walk.reach_consent()) == []

    walk.redirect_uri = elsewhere
    assert boxes(await walk.reach_consent()) == both
    walk.redirect_uri, two_places, walk.client_id = HERE, walk.client_id, own
    assert boxes(await walk.reach_consent()) == both
    walk.client_id, walk.login = two_places, "grace"
    assert boxes(await walk.reach_consent()) == both
    walk.login = "ada"
    other_server = update(tables.sessions).values(resource="https://other.example.com/mcp")
    await app.store.database.write(lambda tx: tx.connection.execute(other_server))
    assert boxes(await walk.reach_consent()) == both


async def test_what_one_person_allowed_another_of_the_same_principal_is_asked(walk: Walk, app: App) -> None:
    await change_principal(app, "ada", subjects=(Subject(walk.provider.issuer, "sub-grace"),))
    await walk.get_tokens("orgs:read", "orgs:write")
    assert boxes(await walk.reach_consent()) == []

    walk.login = "grace"
    assert boxes(await walk.reach_consent()) == ["orgs:read", "orgs:write"]


async def test_what_is_over_or_was_never_fetched_is_asked_anew(walk: Walk) -> None:
    await walk.get_code("orgs:read")  # nobody has come for tokens
    assert boxes(await walk.reach_consent()) == ["orgs:read", "orgs:write"]

    tokens = await walk.get_tokens("orgs:read")
    page = await walk.reach_consent()
    assert boxes(page) == ["orgs:write"]
    await walk.browser.post("/revoke", data={"client_id": walk.client_id, "token": tokens["access_token"]})

    assert boxes(await walk.browser.get(str(page.url))) == ["orgs:read", "orgs:write"]
    assert await get_scope(walk, page, "orgs:write") == "orgs:write", (
        "what the page did not ask is not allowed any more"
    )


async def test_a_session_of_before_stays_until_there_are_too_many(
    walk: Walk, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the same client on another machine: the one that was used longest ago goes first."""
    monkeypatch.setattr(stored_sessions, "MAX_OF_CLIENT", 2)
    first = await walk.get_tokens("orgs:read")
    second = await walk.get_tokens("orgs:read", "orgs:write")
    refreshed = await walk.refresh(first["refresh_token"])
    assert refreshed.status_code == 200

    third = await walk.get_tokens("orgs:read")
    tokens = [each["access_token"] for each in (refreshed.json(), second, third)]
    calls = [(await walk.call(each, "salesforce_list_orgs")).status_code for each in tokens]
    assert calls == [200, 401, 200]
    (ended,) = [each for each in await app.sessions().all("ada", ended=True) if each.ended_at is not None]
    assert ended.ended_why == "too many of this client"
    assert any("why:too many of this client" in (each.fields or ()) for each in await walk.entries(action="key"))

"""From an agent's call that waits to the person's yes and the call's passing, over real HTTP."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.access.principals import Subject
from orgserver.model.audit import EntryFilter
from orgserver.model.names import CONTACT
from orgserver.model.orgs import Caller
from orgserver.sandbox.server import Sandbox
from orgserver.services.signin.people.sessions import SignInSessions
from tests import operations
from tests.conftest import OpenApp, register
from tests.people import add_principal
from tests.provider.running import RunningProvider, running_provider
from tests.serving.over_http.people.page import read_page
from tests.serving.over_http.signin.walk import Walk, settings_of, walking

SCOPES = ("orgs:read", "orgs:delete")
SENT_BY_FORM = {"origin": "null", "sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def provider() -> Iterator[RunningProvider]:
    with running_provider() as running:
        yield running


@pytest.fixture
async def app(open_again: OpenApp, sandbox: Sandbox, provider: RunningProvider, caller: Caller) -> AsyncIterator[App]:
    await provider.reset()
    async with open_again(**settings_of(provider)) as opened:
        await register(opened, sandbox)
        await opened.registry.update(caller, "acme", policy={"confirm_deletes": True})
        await add_principal(opened, "ada", "acme:read,delete", subjects=(Subject(provider.issuer, "sub-ada"),))
        yield opened


@pytest.fixture
async def walk(app: App, provider: RunningProvider) -> AsyncIterator[Walk]:
    async with walking(app, provider) as begun:
        yield begun


async def sign_in(walk: Walk, purpose: str) -> httpx2.Response:
    """Sign in for /me; what came of it."""
    begun = await walk.browser.get(f"/me/signin?purpose={purpose}")
    assert begun.status_code == 303, begun.text
    return await walk.browser.get(await walk.provider.sign_in(begun.headers["location"], walk.login))


async def test_an_agents_call_waits_for_the_person_whose_sign_in_it_is(walk: Walk, app: App, caller: Caller) -> None:
    contact = await operations.create(
        app, caller, "salesforce_create_contact", "acme", CONTACT, {"LastName": "Babbage"}
    )
    tokens = await walk.get_tokens(*SCOPES)
    async with walk.served.client(tokens["access_token"]) as client:
        refused = await client.call_tool("salesforce_delete_contact", {"org": "acme", "contact_id": contact.id})
        error = json.loads(refused.content[0].text)["error"]
        assert error["code"] == "CONFIRMATION_REQUIRED"
        assert f"{walk.served.url}/me" in error["hint"]

        assert (await sign_in(walk, "approve")).headers["location"] == "/me"
        page = read_page((await walk.browser.get("/me")).content)
        (path,) = [each.attributes["action"] for each in page.all("form") if "/approvals/" in each.attributes["action"]]
        answer = await walk.browser.post(path, data={"csrf": page.fields["csrf"]}, headers=SENT_BY_FORM)
        assert (answer.status_code, answer.headers["location"]) == (303, "/me")
        passed = await client.call_tool("salesforce_delete_contact", {"org": "acme", "contact_id": contact.id})

    assert not passed.is_error, passed
    (entry,) = await app.audit_log.newest(EntryFilter(tool="approve"), 10)
    assert (entry.principal, entry.label) == ("ada", "me")


@pytest.mark.parametrize(
    "headers",
    [{"origin": "null"}, {"origin": "null", "sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}],
)
async def test_a_form_of_another_site_does_not_come_in(walk: Walk, headers) -> None:
    await sign_in(walk, "open")
    page = read_page((await walk.browser.get("/me")).content)

    answer = await walk.browser.post("/me/signout", data={"csrf": page.fields["csrf"]}, headers=headers)

    assert answer.status_code == 403
    assert "Sign out" in (await walk.browser.get("/me")).text


async def test_signing_in_makes_a_new_cookie_and_knows_no_address_to_go_on_to(walk: Walk) -> None:
    first, second = await sign_in(walk, "open"), await sign_in(walk, "open")

    assert [each.headers["location"] for each in (first, second)] == ["/me", "/me"]
    cookies = [each.headers["set-cookie"].partition(";")[0] for each in (first, second)]
    assert all(each.startswith("__Host-orgserver-me=") for each in cookies)
    assert cookies[0] != cookies[1]


async def test_a_sign_in_ends_the_one_before_it_in_the_same_browser(walk: Walk, app: App) -> None:
    await sign_in(walk, "open")
    await sign_in(walk, "approve")

    (session,) = await SignInSessions(app.store).all("ada")
    (ended,) = [each for each in await SignInSessions(app.store).all("ada", ended=True) if each.id != session.id]
    assert ended.ended_why == "signed out"
    (entry,) = await app.audit_log.newest(EntryFilter(tool="sign-out"), 10)
    assert (entry.principal, entry.label) == ("ada", "me")


async def test_a_provider_that_does_not_say_when_lets_nobody_say_yes(walk: Walk) -> None:
    await walk.provider.set(claims={"auth_time": None})

    answer = await sign_in(walk, "approve")

    assert "auth_time" in read_page(answer.content).one("main").text
    assert "Sign in with your company" in (await walk.browser.get("/me")).text

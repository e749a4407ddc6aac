"""Bad links: each is a page that says what to do, an entry, and nothing stored; each has a twin that is good."""

import re
from functools import partial
from typing import Any

import pytest

from orgserver.model.access.principals import Selector
from orgserver.services.connections.links import MAX_OPEN
from orgserver.services.connections.proofs import MAX_ATTEMPTS
from orgserver.services.connections.refusals import Refusal, RefusalKind
from orgserver.services.connections.storing import Storing
from orgserver.services.people.requests import GrantChanges, KeyChanges, PrincipalChanges
from orgserver.services.signin.people.sessions import SignInSessions
from orgserver.store.orgs.connect_links import LIFE_US
from orgserver.telemetry.prometheus import PrometheusMetrics
from tests.conftest import Clock
from tests.people import OPERATOR, principal_changes
from tests.serving.over_http.connect.world import FORM, URL, World, page_of, set_org, title_of

_SECONDS = LIFE_US / 1_000_000
_OVER = "This link is used up or too old"


async def is_untouched(world: World) -> bool:
    """Whether nothing was stored, and nothing is to be revoked."""
    return await world.connection("alice") is None and await world.revocations() == 0


async def test_a_link_works_once(world: World) -> None:
    alice, path = world.browser(), await world.ask("alice")
    await alice.sign_in("alice")

    for _ in range(3):  # previews and mail scanners open it, too
        assert page_of(await alice.get(path)).texts("h1") == ["Connect acme"]
    await alice.begin(path)

    assert title_of(await alice.get(path), 410) == _OVER
    assert "or: orgserver connect-org acme --principal alice)" in page_of(await alice.get(path), 410).one("body").text
    stranger = page_of(await world.browser().get(path), 410).one("body").text
    assert "or: orgserver connect-org NAME-OF-THE-ORG)" in stranger
    assert "acme" not in stranger
    entry = await world.newest(action="auth_failed")
    assert (entry.error_code, entry.http_status) == ("CONNECT_LINK", 410)
    assert await is_untouched(world)


async def test_of_two_clicks_at_once_one_begins(world: World) -> None:
    alice, path = world.browser(), await world.ask("alice")
    await alice.sign_in("alice")
    csrf = page_of(await alice.get(path)).fields["csrf"]

    replies = [await alice.post(f"{path}/begin", csrf=csrf) for _ in range(2)]

    assert [each.status_code for each in replies] == [303, 410]


async def test_a_late_link_is_over_and_one_in_time_is_not(world: World, clock: Clock) -> None:
    alice, path = world.browser(), await world.ask("alice")
    await alice.sign_in("alice")

    clock.advance(_SECONDS - 5)
    csrf = page_of(await alice.get(path)).fields["csrf"]
    clock.advance(10)

    assert title_of(await alice.get(path), 410) == _OVER
    assert title_of(await alice.post(f"{path}/begin", csrf=csrf), 410) == _OVER
    assert await world.connections.storing.sweep() == 1
    assert await world.count_links() == 0


async def test_what_comes_of_logins_is_counted_once(world: World) -> None:
    metrics, links = PrometheusMetrics(), world.app.store.connect_links
    storing = Storing(world.app.store, world.app.access, world.connections.checks, metrics)
    refuse = partial(storing.give_up, refusal=Refusal(RefusalKind.OTHER_USER))
    alice = world.browser()
    await alice.sign_in("alice")

    for end in (storing.keep, storing.discard, refuse):
        _, _, link_id = (await alice.answer(await world.ask("alice"))).partition("link=")
        async with world.app.store.database.reading() as connection:
            link = await links.find(connection, link_id=link_id)
        assert link is not None
        await end(link)
        await storing.discard(link)  # it is gone

    text = (await metrics.render(world.app.store, lambda: (0, 0))).decode()
    counted = re.findall(r"^orgserver_connect_total(.*)$", text, re.MULTILINE)
    assert counted == ['{outcome="succeeded"} 1.0', '{outcome="denied"} 1.0', '{outcome="rejected"} 1.0']


@pytest.mark.parametrize("path", [f"/connect/{'x' * 43}", "/connect/short", "/connect/", f"/connect/{'x' * 43}/begin"])
async def test_an_unknown_link_is_over(world: World, path: str) -> None:
    alice = world.browser()
    await alice.sign_in("alice")

    assert title_of(await alice.get(path), 410) == _OVER
    assert (await world.newest(action="auth_failed")).error_code == "CONNECT_LINK"


async def test_a_link_is_its_persons_alone(world: World) -> None:
    path, bob, alice = await world.ask("alice"), world.browser(), world.browser()
    await bob.sign_in("bob")
    await alice.sign_in("alice")

    page = page_of(await bob.get(path), 403)

    assert page.texts("h1") == ["This link is somebody else's"]
    assert "alice" not in page.one("body").text
    entry = await world.newest(action="auth_failed")
    assert (entry.error_code, entry.principal) == ("CONNECT_OTHER_PERSON", "alice")
    assert page_of(await alice.connect(path)).texts("h1") == ["You are connected"]  # it stays good for its owner


async def test_a_key_of_somebody_else_opens_no_link(world: World) -> None:
    path, browser = await world.ask("alice"), world.browser()

    reply = await browser.show_key(path, world.keys["bob"])

    assert title_of(reply, 403) == "This link is somebody else's"
    assert (await world.newest(action="auth_failed")).error_code == "CONNECT_OTHER_PERSON"
    assert (await browser.show_key(path, world.keys["alice"])).status_code == 303


async def test_wrong_keys_end_a_link_and_the_right_one_before_that_does_not(world: World) -> None:
    path, browser = await world.ask("alice"), world.browser()

    for number in range(MAX_ATTEMPTS):
        assert title_of(await browser.show_key(path, f"osk_{number}"), 403) == "This key opens nothing here"
        assert (await world.newest(action="auth_failed")).error_code == "CONNECT_KEY"

    assert title_of(await browser.get(path), 410) == _OVER
    path = await world.ask("alice")
    await browser.show_key(path, "osk_1")
    assert (await browser.show_key(path, world.keys["alice"])).status_code == 303


async def test_whoever_showed_a_key_goes_on_in_that_browser_alone(world: World) -> None:
    path, first, second = await world.ask("alice"), world.browser(), world.browser()
    before = page_of(await second.get(path)).fields["csrf"]
    await first.show_key(path, world.keys["alice"])

    assert title_of(await second.get(path), 403) == "This was begun in another browser"
    reply = await second.post(f"{path}/key", csrf=before, key=world.keys["alice"])
    assert title_of(reply, 403) == "This was begun in another browser"
    assert (await world.newest(action="auth_failed")).error_code == "CONNECT_OTHER_BROWSER"
    assert page_of(await first.connect(path)).texts("h1") == ["You are connected"]


async def test_a_form_of_another_page_begins_nothing(world: World) -> None:
    path, other = await world.ask("alice"), await world.ask("alice")
    alice = world.browser()
    await alice.sign_in("alice")
    page_of(await alice.get(path))
    foreign = page_of(await alice.get(other)).fields["csrf"]

    for fields in ({"other": "x"}, {"csrf": "x"}, {"csrf": foreign}):
        assert title_of(await alice.post(f"{path}/begin", **fields), 403) == "This form is not from here"
        assert (await world.newest(action="auth_failed")).error_code == "CONNECT_FORM"
    reply = await alice.http.post(f"{path}/begin", content=b"{}", headers={"content-type": "application/json"} | FORM)
    assert reply.status_code == 415
    assert (await alice.begin(path)).startswith(world.acme.url)


async def test_a_session_that_ended_begins_nothing(world: World) -> None:
    path, alice = await world.ask("alice"), world.browser()
    session_id = await alice.sign_in("alice")
    csrf = page_of(await alice.get(path)).fields["csrf"]
    await SignInSessions(world.app.store).end(OPERATOR, session_id)

    reply = await alice.post(f"{path}/begin", csrf=csrf)

    assert page_of(reply, 403).texts("h1") == ["Who are you?"]
    await alice.sign_in("alice")
    assert (await alice.begin(path)).startswith(world.acme.url)


async def test_a_key_that_was_revoked_begins_nothing(world: World) -> None:
    path, alice = await world.ask("alice"), world.browser()
    await alice.show_key(path, world.keys["alice"])
    csrf = page_of(await alice.get(path)).fields["csrf"]
    (key,) = (await world.app.people.principals.one("alice")).keys
    changes = principal_changes(keys=KeyChanges(revoked=(key.id,)))
    await world.app.people.principals.update(OPERATOR, "alice", changes)

    assert title_of(await alice.post(f"{path}/begin", csrf=csrf), 403) == "It is not known any more who you are"
    assert (await world.newest(action="auth_failed")).error_code == "CONNECT_PROOF"


_CHANGES: dict[str, Any] = {
    "renamed": ({"alias": "emea"}, "This org has changed since", "ORG_CHANGED"),
    "shared": ({"identity": "shared"}, "There is nothing to connect", "IDENTITY_SHARED"),
    "disabled": ({"enabled": False}, "This org is disabled", "ORG_DISABLED"),
    "another org": ({"org_id": "00D000000000999AAA"}, "This org has changed since", "ORG_CHANGED"),
    "without a browser": ({"auth": "jwt"}, "Nobody logs in to this org by a browser", "NO_BROWSER_LOGIN"),
}


@pytest.mark.parametrize("what", sorted(_CHANGES))
async def test_an_org_that_has_changed_since_is_not_connected(world: World, what: str) -> None:
    changes, title, code = _CHANGES[what]
    await world.app.people.principals.update(OPERATOR, "alice", principal_changes("*:read"))
    path, alice = await world.ask("alice"), world.browser()
    await alice.sign_in("alice")
    csrf = page_of(await alice.get(path)).fields["csrf"]
    await set_org(world.app, "acme", **changes)

    for reply in (await alice.get(path), await alice.post(f"{path}/begin", csrf=csrf)):
        page = page_of(reply, 409)
        assert page.texts("h1") == [title]
        entry = await world.newest(action="enrol")
        assert (entry.principal, entry.tool, entry.outcome, entry.error_code) == ("alice", "connect", "denied", code)
    if what == "renamed":
        assert "acme is called emea now" in page.one("body").text


async def test_an_org_that_was_removed_is_not_connected(world: World) -> None:
    path, alice = await world.ask("alice"), world.browser()
    await alice.sign_in("alice")
    await world.app.registry.remove(OPERATOR, "acme", keep_token=True)

    assert (await alice.get(path)).status_code in (409, 410)  # the link may have gone with the org


@pytest.mark.parametrize("what", ["disabled", "without a grant"])
async def test_whoever_may_not_use_the_org_is_told_nothing_of_it(world: World, what: str) -> None:
    path, alice = await world.ask("alice"), world.browser()
    await alice.show_key(path, world.keys["alice"])
    csrf = page_of(await alice.get(path)).fields["csrf"]
    if what == "disabled":
        await world.app.people.principals.update(OPERATOR, "alice", principal_changes(enabled=False))
    else:
        gone = PrincipalChanges(grants=GrantChanges(revoked=(Selector("acme"),)))
        await world.app.people.principals.update(OPERATOR, "alice", gone)

    reply = await alice.post(f"{path}/begin", csrf=csrf)

    assert reply.status_code in (403, 410)  # the link may have ended with the right to it
    assert "acme" not in reply.text


async def test_a_person_has_a_few_links_to_an_org_at_once(world: World) -> None:
    paths = [await world.ask("alice") for _ in range(MAX_OPEN + 1)]
    theirs = await world.ask("bob")
    alice, bob = world.browser(), world.browser()
    await alice.sign_in("alice")
    await bob.sign_in("bob")

    assert [(await alice.get(path)).status_code for path in paths] == [410] + [200] * MAX_OPEN
    assert (await bob.get(theirs)).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_link_is_read_and_its_forms_are_sent(world: World, method: str) -> None:
    path = await world.ask("alice")

    reply = await world.browser().http.request(method, path)

    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, POST")


async def test_pages_let_nothing_in_and_tell_nobody_their_address(world: World) -> None:
    path, alice = await world.ask("alice"), world.browser()
    await alice.sign_in("alice")

    reply = await alice.get(path)

    policy = reply.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https: http://127.0.0.1:* http://localhost:*" in policy  # the sandbox is on loopback
    assert (reply.headers["x-frame-options"], reply.headers["referrer-policy"]) == ("DENY", "no-referrer")
    assert reply.headers["cache-control"] == "no-store"
    for cookie in reply.headers.get_list("set-cookie"):
        assert cookie.startswith("__Host-orgserver-connect")
        assert cookie.endswith("Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax")
    location = (await alice.post(f"{path}/begin", csrf=page_of(reply).fields["csrf"])).headers["location"]
    assert path.rpartition("/")[2] not in location
    assert URL.replace("https://", "https%3A%2F%2F") in location

"""Answers of Salesforce's that give no login: a page, an entry, nothing stored, and what was given is to be revoked."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Connection, Credential, OrgState, OrgUser
from orgserver.model.secret import Secret
from orgserver.sandbox.org import SandboxOrg
from orgserver.store.orgs.connect_links import LIFE_US
from orgserver.store.people.connection_tables import connect_links
from orgserver.store.transaction import Transaction, to_datetime
from tests.conftest import Clock
from tests.serving.over_http.connect.world import Browser, World, log_in, page_of, set_org, title_of

pytestmark = pytest.mark.both_stores
_FORGED = "This is no answer to a login begun in this browser"
_SECONDS = LIFE_US / 1_000_000


async def has_nothing(world: World) -> bool:
    """Whether alice has no login that was made here, and no link any more."""
    return await world.connection("alice") is None and await world.count_links() == 0


async def alices(world: World) -> Browser:
    browser = world.browser()
    await browser.sign_in("alice")
    return browser


async def add_connection(world: World, principal: str, user: OrgUser) -> Connection:
    """A login that somebody gave before."""
    org = await world.org()
    now = to_datetime(world.app.store.database.clock())
    connection = Connection(
        RowId(new_id()), org.row_id, principal, "web", user, user.username, OrgState.READY, None, None, now, now
    )
    credential = Credential(world.acme.credentials()["client_id"], None, Secret(f"token-of-{principal}"), fencing=1)
    add = world.app.store.orgs.connections.add_in
    await world.app.store.database.write(lambda tx: add(tx, connection, credential, None))
    return connection


async def test_consent_that_was_refused_stores_nothing(world: World) -> None:
    alice, path = await alices(world), await world.ask("alice")
    location = await alice.begin(path)
    world.acme.answers.deny = True

    reply = await alice.come_back(location)

    assert title_of(reply, 200) == "You said no at Salesforce"
    entry = await world.newest(action="enrol")
    assert (entry.tool, entry.outcome, entry.error_code) == ("connect", "rejected", "CONSENT_REFUSED")
    assert await has_nothing(world)
    assert await world.revocations() == 0
    world.acme.answers.deny = False
    assert page_of(await alice.connect(await world.ask("alice"))).texts("h1") == ["You are connected"]


@pytest.mark.parametrize(
    "changes",
    [{"state": None}, {"state": "x" * 43}, {"state": ""}, {"code": None}],
    ids=["no state", "another state", "an empty state", "no code"],
)
async def test_a_forged_answer_leaves_the_link_as_it_is(world: World, changes: dict[str, str | None]) -> None:
    alice, path = await alices(world), await world.ask("alice")
    location = await alice.begin(path)
    answer = await log_in(location)

    forged = {name: value for name, value in (answer | changes).items() if value is not None}
    reply = await alice.http.get("/connect/callback", params=forged)

    assert title_of(reply, 403) == _FORGED
    assert (await world.newest(action="auth_failed")).error_code == "CONNECT_FORGED"
    good = await alice.http.get("/connect/callback", params=answer)
    assert good.status_code == 303


async def test_an_answer_that_says_something_twice_is_forged(world: World) -> None:
    alice, path = await alices(world), await world.ask("alice")
    answer = await log_in(await alice.begin(path))
    query = f"state={answer['state']}&code={answer['code']}"

    assert title_of(await alice.get(f"/connect/callback?{query}&code=other"), 403) == _FORGED
    assert (await alice.get(f"/connect/callback?{query}&sfdc_community_url=x")).status_code == 303


async def test_a_link_whose_row_was_changed_by_other_hands_is_over(world: World) -> None:
    alice, path = await alices(world), await world.ask("alice")
    answer = await log_in(await alice.begin(path))

    def spoil(tx: Transaction) -> None:
        tx.connection.execute(update(connect_links).values(sealed=b"put here"))

    await world.app.store.database.write(spoil)

    reply = await alice.http.get("/connect/callback", params=answer)
    assert title_of(reply, 410) == "This link is used up or too old"
    assert await world.connection("alice") is None


async def test_an_answer_works_in_its_own_browser_alone_and_once(world: World) -> None:
    """Else somebody could be sent mine, and give me their login."""
    alice, path = await alices(world), await world.ask("alice")
    answer = await log_in(await alice.begin(path))
    bare, bob = world.browser(), world.browser()
    await bob.sign_in("bob")
    await bob.get(await world.ask("bob"))  # which gives it a cookie of its own

    for stranger in (bare, bob):
        assert title_of(await stranger.http.get("/connect/callback", params=answer), 403) == _FORGED
        assert (await world.newest(action="auth_failed")).error_code == "CONNECT_FORGED"
    assert (await alice.http.get("/connect/callback", params=answer)).status_code == 303
    again = await alice.http.get("/connect/callback", params=answer)
    assert title_of(again, 410) == "This link is used up or too old"
    assert await world.connection("bob") is None


async def test_two_links_in_one_browser_do_not_get_in_each_others_way(world: World) -> None:
    alice = await alices(world)
    first, second = await world.ask("alice"), await world.ask("alice")
    locations = [await alice.begin(first), await alice.begin(second)]

    results = [(await alice.come_back(each)).headers["location"] for each in locations]

    assert [page_of(await alice.get(each)).texts("h1") for each in results] == [["Store this login?"]] * 2
    assert page_of(await alice.decide(results[0])).texts("h1") == ["You are connected"]
    assert page_of(await alice.decide(results[1])).texts("h1") == ["You are connected"]
    assert await world.revocations() == 1  # the first made room


async def test_somebody_else_who_signed_in_meanwhile_gets_nowhere(world: World) -> None:
    alice, path = await alices(world), await world.ask("alice")
    answer = await log_in(await alice.begin(path))
    await alice.sign_in("bob")

    reply = await alice.http.get("/connect/callback", params=answer)

    assert title_of(reply, 403) == "This link is somebody else's"
    assert await world.connection("alice") is None
    assert await world.connection("bob") is None


_CHANGES: dict[str, Any] = {
    "renamed": ({"alias": "emea"}, "ORG_CHANGED"),
    "shared": ({"identity": "shared"}, "IDENTITY_SHARED"),
    "disabled": ({"enabled": False}, "ORG_DISABLED"),
}


@pytest.mark.parametrize("step", ["at Salesforce", "at the question"])
@pytest.mark.parametrize("what", sorted(_CHANGES))
async def test_an_org_that_changes_on_the_way_gets_no_login(world: World, what: str, step: str) -> None:
    changes, code = _CHANGES[what]
    alice, path = await alices(world), await world.ask("alice")
    location = await alice.begin(path)
    if step == "at Salesforce":
        await set_org(world.app, "acme", **changes)
        reply = await alice.come_back(location)
    else:
        result = (await alice.come_back(location)).headers["location"]
        fields = page_of(await alice.get(result)).fields
        await set_org(world.app, "acme", **changes)
        reply = await alice.post("/connect/store", csrf=fields["csrf"], link=fields["link"])

    page_of(reply, 409)
    entry = await world.newest(action="enrol")
    assert (entry.outcome, entry.error_code) == ("denied", code)
    assert await world.count_links() == 0
    assert await world.revocations() == (0 if step == "at Salesforce" else 1)


async def test_another_salesforce_user_is_refused_and_by_replace_is_not(world: World) -> None:
    pinned = OrgUser("005000000000AAAAAA", "alice@acme.example", "UTC")
    await add_connection(world, "alice", pinned)
    alice = await alices(world)

    reply = await alice.come_back(await alice.begin(await world.ask("alice")))

    page = page_of(reply, 409)
    assert page.texts("h1") == ["You logged in as another Salesforce user"]
    text = " ".join(page.one("body").text.split())
    assert f"connected as alice@acme.example, and logged in as {world.acme.username}" in text
    assert "orgserver connect-org acme --principal alice --replace" in text
    entry = await world.newest(action="enrol")
    assert (entry.outcome, entry.error_code) == ("rejected", "OTHER_USER")
    connection = await world.connection("alice")
    assert connection is not None
    assert connection.user == pinned
    assert await world.revocations() == 1

    result = await alice.answer(await world.ask("alice", replace=True))
    assert "Until now it was alice@acme.example" in page_of(await alice.get(result)).one("body").text
    assert page_of(await alice.decide(result)).texts("h1") == ["You are connected"]
    connection = await world.connection("alice")
    assert connection is not None
    assert connection.username == world.acme.username
    assert await world.revocations() == 2  # the old one


async def test_a_user_who_is_another_persons_login_is_refused(world: World) -> None:
    bob = world.browser()
    await bob.sign_in("bob")
    await bob.connect(await world.ask("bob"))
    alice = await alices(world)

    reply = await alice.come_back(await alice.begin(await world.ask("alice")))

    page = page_of(reply, 409)
    assert page.texts("h1") == ["This Salesforce user is taken"]
    assert "bob" not in page.one("body").text
    assert (await world.newest(action="enrol")).error_code == "USER_TAKEN"
    assert await has_nothing(world)
    assert await world.revocations() == 1


async def test_a_login_at_another_org_is_refused(world: World, globex: SandboxOrg) -> None:
    alice, path = await alices(world), await world.ask("alice")
    location = await alice.begin(path)
    own, world.acme.org_id = world.acme.org_id, globex.org_id
    try:
        reply = await alice.come_back(location)
    finally:
        world.acme.org_id = own

    page = page_of(reply, 409)
    assert page.texts("h1") == ["You logged in to another org"]
    assert own in page.one("body").text
    assert globex.org_id in page.one("body").text
    assert (await world.newest(action="enrol")).error_code == "OTHER_ORG"
    assert await has_nothing(world)
    assert await world.revocations() == 1


async def test_an_app_without_the_scope_gives_no_login(world: World) -> None:
    alice, path = await alices(world), await world.ask("alice")
    location = await alice.begin(path) + "&scope=api"

    reply = await alice.come_back(location)

    assert title_of(reply, 409) == "This login would end at once"
    assert (await world.newest(action="enrol")).error_code == "NO_REFRESH_TOKEN"
    assert await has_nothing(world)


async def test_a_code_that_salesforce_refuses_gives_no_login(world: World) -> None:
    alice, path = await alices(world), await world.ask("alice")

    reply = await alice.come_back(await alice.begin(path), code="no-code")

    assert title_of(reply, 502) == "Salesforce gave no login"
    assert (await world.newest(action="enrol")).error_code == "LOGIN_REFUSED"
    assert await has_nothing(world)


async def test_an_org_with_another_app_by_now_keeps_no_login(world: World) -> None:
    from orgserver.store import tables

    alice, path = await alices(world), await world.ask("alice")
    location = await alice.begin(path)
    answer = await log_in(location)
    await world.app.store.database.write(
        lambda tx: tx.connection.execute(update(tables.credentials).values(client_id="another"))
    )

    reply = await alice.http.get("/connect/callback", params=answer)

    assert title_of(reply, 409) == "This org has another app now"
    assert (await world.newest(action="enrol")).error_code == "APP_CHANGED"
    assert await has_nothing(world)


async def test_what_is_discarded_is_revoked(world: World) -> None:
    alice = await alices(world)
    result = await alice.answer(await world.ask("alice"))

    assert title_of(await alice.decide(result, "discard"), 200) == "Nothing was stored"

    entry = await world.newest(action="enrol")
    assert (entry.outcome, entry.error_code) == ("denied", "DISCARDED")
    assert entry.salesforce_user is not None
    assert await has_nothing(world)
    assert await world.revocations() == 1


async def test_what_nobody_clicks_is_revoked_in_time(world: World, clock: Clock) -> None:
    alice = await alices(world)
    result = await alice.answer(await world.ask("alice"))
    fields = page_of(await alice.get(result)).fields

    clock.advance(_SECONDS + 1)

    assert (await alice.get(result)).status_code == 410
    assert (await alice.post("/connect/store", csrf=fields["csrf"], link=fields["link"])).status_code == 410
    assert await world.connections.storing.sweep() == 1
    assert (await world.newest(action="enrol")).error_code == "NOT_CONFIRMED"
    assert await has_nothing(world)
    assert await world.revocations() == 1


async def test_nobody_else_answers_the_question(world: World) -> None:
    alice = await alices(world)
    result = await alice.answer(await world.ask("alice"))
    fields = page_of(await alice.get(result)).fields
    other = world.browser()
    await other.sign_in("alice")
    await other.get(await world.ask("alice"))

    assert (await other.get(result)).status_code == 403
    assert (await other.post("/connect/store", csrf=fields["csrf"], link=fields["link"])).status_code == 403
    assert (await alice.post("/connect/store", csrf="x", link=fields["link"])).status_code == 403
    assert await world.connection("alice") is None
    assert page_of(await alice.decide(result)).texts("h1") == ["You are connected"]
    assert (await alice.post("/connect/store", csrf=fields["csrf"], link=fields["link"])).status_code == 410


async def test_no_secret_of_a_login_stands_in_the_store_in_clear(world: World, store_file: Path) -> None:
    alice, path = await alices(world), await world.ask("alice")
    location = await alice.begin(path)
    answer = await log_in(location)
    result = (await alice.http.get("/connect/callback", params=answer)).headers["location"]
    await alice.get(result)

    text = b"".join(each.read_bytes() for each in store_file.parent.iterdir() if each.is_file())
    tokens = [family.refresh_token for family in world.acme.logins.families if family.refresh_token]
    assert tokens
    for secret in (path.rpartition("/")[2], answer["state"], answer["code"], *tokens):
        assert secret.encode() not in text

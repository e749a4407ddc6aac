"""From a link to a login of one's own, by two replicas in turn: who signs in, and who shows a key."""

from pathlib import Path

import pytest

from orgserver.app import App
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.signin.options import CONTINUE_PATH
from tests.conftest import OpenApp
from tests.serving.over_http.connect.world import World, open_world, page_of

pytestmark = pytest.mark.both_stores


async def test_a_person_who_is_signed_in_connects(world: World) -> None:
    alice = world.browser()
    await alice.sign_in("alice")

    reply = await alice.connect(await world.ask("alice"))

    assert page_of(reply).texts("h1") == ["You are connected"]
    connection = await world.connection("alice")
    assert connection is not None
    assert connection.username == world.acme.username
    assert connection.user is not None
    assert connection.user.id == world.acme.user_id
    entry = await world.newest(action="enrol")
    assert (entry.principal, entry.tool, entry.org, entry.outcome) == ("alice", "connect", "acme", "succeeded")
    assert (entry.identity, entry.salesforce_user.username) == ("own", world.acme.username)
    assert await world.count_links() == 0
    assert await world.revocations() == 0
    assert await world.connection("bob") is None


async def test_two_people_connect_as_two_users_of_one_org(world: World) -> None:
    for name in ("alice", "bob"):
        person, user = world.browser(), world.acme.add_user(f"{name}@acme.example")
        await person.sign_in(name)
        location = await person.begin(await world.ask(name))
        reply = await person.come_back(f"{location}&login_hint={user.username}")
        assert page_of(await person.decide(reply.headers["location"])).texts("h1") == ["You are connected"]

    names = {name: await world.connection(name) for name in ("alice", "bob")}

    assert {name: each.username for name, each in names.items() if each is not None} == {
        "alice": "alice@acme.example",
        "bob": "bob@acme.example",
    }
    again = world.browser()
    await again.sign_in("alice")
    assert "login_hint=alice%40acme.example" in await again.begin(await world.ask("alice"))


async def test_a_person_without_a_session_shows_a_key(world: World) -> None:
    alice, path = world.browser(), await world.ask("alice")

    page = page_of(await alice.get(path))
    assert page.texts("h1") == ["Who are you?"]
    assert "acme" not in page.one("body").text
    reply = await alice.show_key(path, world.keys["alice"])

    assert (reply.status_code, reply.headers["location"]) == (303, path)
    assert page_of(await alice.connect(path)).texts("h1") == ["You are connected"]
    assert await world.connection("alice") is not None


async def test_where_nobody_signs_in_the_key_alone_is_asked_for(
    app: App, open_again: OpenApp, acme: SandboxOrg, store_file: Path
) -> None:
    async with open_world(app, open_again, acme, sign_in=False) as world:
        alice, path = world.browser(), await world.ask("alice")

        assert page_of(await alice.get(path)).all("a") == []
        await alice.show_key(path, world.keys["alice"])
        page = page_of(await alice.connect(path))

    assert page.texts("h1") == ["You are connected"]
    assert page.all("a") == []  # there is no /me
    assert store_file.exists()


async def test_who_signs_in_for_a_link_comes_back_to_it(world: World, store_file: Path) -> None:
    alice, path = world.browser(), await world.ask("alice")
    page = page_of(await alice.get(path))
    assert [each.attributes["href"] for each in page.all("a")] == ["/me/signin?purpose=connect"]
    await alice.sign_in("alice")

    reply = await alice.get(CONTINUE_PATH)

    assert (reply.status_code, reply.headers["location"]) == (303, path)
    assert (await world.browser().get(CONTINUE_PATH)).status_code == 410
    assert store_file.exists()

"""From a link to a login of one's own, by two replicas in turn: who signs in, and who shows a key."""

import pytest

from tests.serving.over_http.connect.world import World, page_of

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


async def test_a_person_without_a_session_shows_a_key(world: World) -> None:
    alice, path = world.browser(), await world.ask("alice")

    page = page_of(await alice.get(path))
    assert page.texts("h1") == ["Who are you?"]
    assert "acme" not in page.one("body").text
    reply = await alice.show_key(path, world.keys["alice"])

    assert (reply.status_code, reply.headers["location"]) == (303, path)
    assert page_of(await alice.connect(path)).texts("h1") == ["You are connected"]
    assert await world.connection("alice") is not None

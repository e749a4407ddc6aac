"""The whole way of a person: from a client's first request to a tool's answer, over real HTTP."""

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.services.connections.links import ConnectLinks
from orgserver.services.signin.options import CONTINUE_PATH
from tests.serving.over_http.connect.world import set_org
from tests.serving.over_http.signin.walk import Walk

pytestmark = pytest.mark.usefixtures("_as_many_requests_as_a_test_likes")


async def test_a_person_comes_from_connect_to_a_first_call(walk: Walk, app: App) -> None:
    tokens = await walk.get_tokens("orgs:read", "orgs:write")

    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert tokens["scope"] == "orgs:read orgs:write"
    async with walk.served.client(tokens["access_token"]) as client:
        answer = await client.call_tool("salesforce_list_contacts", {"org": "acme"})
    assert not answer.is_error, answer
    newest = await app.audit_log.newest(EntryFilter(principal="ada"), 10)
    assert list(dict.fromkeys(each.tool for each in newest))[:3] == ["salesforce_list_contacts", "sign-in", "consent"]


async def test_whoever_signs_in_for_a_link_goes_on_with_it(walk: Walk, app: App) -> None:
    await set_org(app, "acme", identity="own")
    link = await ConnectLinks(app.store, app.access, "").make("ada", (await app.access.reload()).by_alias["acme"])
    assert "Who are you?" in (await walk.browser.get(link.url)).text

    url = (await walk.browser.get("/me/signin?purpose=connect")).headers["location"]
    back = await walk.browser.get(await walk.provider.sign_in(url))

    assert back.headers["location"] == CONTINUE_PATH
    assert (await walk.browser.get(CONTINUE_PATH)).headers["location"] == link.url
    assert "<h1>Connect acme</h1>" in (await walk.browser.get(link.url)).text

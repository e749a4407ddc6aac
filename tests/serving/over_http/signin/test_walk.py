"""The whole way of a person: from a client's first request to a tool's answer, over real HTTP."""

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
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

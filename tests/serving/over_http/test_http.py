"""MCP over HTTP as clients speak it: both generations, each caller with a key, nobody without."""

import json

import pytest

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.model.orgs import Scope
from tests.conftest import OpenApp
from tests.serving.over_http.served import serving

LIST = {"org": "acme"}


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_caller_with_a_key_works_within_its_grants(app: App, mode: str) -> None:
    async with serving(app) as served:
        key = await served.make_key("ada", "acme:read")
        async with served.client(key, mode=mode) as client:
            listed = await client.call_tool("salesforce_list_contacts", LIST)
            other = await client.call_tool("salesforce_list_contacts", {"org": "globex"})

    assert not listed.is_error
    assert json.loads(other.content[0].text)["error"]["category"] == "unknown_org"
    (entry,) = await app.audit_log.newest(EntryFilter(org="acme", principal="ada"), 1)
    assert (entry.principal, entry.transport, entry.outcome) == ("ada", "http", "succeeded")


@pytest.mark.parametrize("key", [None, "nonsense", "osk_" + "x" * 49])
async def test_nobody_is_served_without_a_key_on_loopback_neither(app: App, key: str | None) -> None:
    async with serving(app) as served, served.raw(key) as client:
        for method in ("POST", "GET", "DELETE", "OPTIONS"):
            reply = await client.request(method, "/mcp")
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_progress_is_told_while_a_call_is_under_way(app: App, open_again: OpenApp, mode: str) -> None:
    told: list[float] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        assert (total, message is not None) == (2, True)
        told.append(progress)

    async with open_again(Scope(toolsets=frozenset({"fleet"}))) as fleet, serving(fleet) as served:
        key = await served.make_key("ada", "*:read")
        async with served.client(key, mode=mode) as client:
            asked = {"orgs": ["*"], "soql": "SELECT Id FROM Contact"}
            answer = await client.call_tool("salesforce_query_orgs", asked, progress_callback=tell)

    assert not answer.is_error
    assert told == [1, 2]

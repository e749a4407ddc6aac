"""A call that needs a login of one's own: the client opens the link where it can, else the error says it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import URL_ELICITATION_REQUIRED, ElicitRequestParams, ElicitRequestURLParams, ElicitResult

from orgserver.app import App
from orgserver.model.audit import EntryFilter
from orgserver.sandbox.org import SandboxOrg
from orgserver.services.connections.links import CALLBACK_PATH
from orgserver.serving.elicitation.url_sessions import make_session_that_opens_urls
from tests.conftest import OpenApp
from tests.serving.both_ways import FORM, MODERN, call_of
from tests.serving.over_http.both_ways import headers_of
from tests.serving.over_http.connect.world import page_of, set_org
from tests.serving.over_http.served import Served, serving

LIST = "salesforce_list_contacts"
LEGACY = "2025-11-25"
URLS = {"elicitation": {"url": {}}}


@pytest.fixture
async def served(app: App, acme: SandboxOrg) -> AsyncIterator[Served]:
    await set_org(app, "acme", identity="own")
    async with serving(app) as opened:
        acme.callbacks.append(f"{opened.url}{CALLBACK_PATH}")
        yield opened


def error_of(result: Any) -> dict[str, Any]:
    assert result.is_error
    error: dict[str, Any] = json.loads(result.content[0].text)["error"]
    return error


async def open_link(link: str, key: str) -> httpx2.Response:
    """Do in a browser what a person does there, showing their key; what the last page is."""
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=False) as http:
        base = link[: link.index("/connect/")]
        jar: dict[str, str] = {}

        async def ask(method: str, target: str, **form: str) -> httpx2.Response:
            url = target if target.startswith("http") else f"{base}{target}"
            headers = {"origin": base} | ({"cookie": "; ".join(f"{k}={v}" for k, v in jar.items())} if jar else {})
            reply = await http.request(method, url, data=form or None, headers=headers)
            for cookie in reply.headers.get_list("set-cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                jar[name] = value
            return reply

        page = page_of(await ask("GET", link))
        await ask("POST", f"{link}/key", csrf=page.fields["csrf"], key=key)
        page = page_of(await ask("GET", link))
        login = (await ask("POST", f"{link}/begin", csrf=page.fields["csrf"])).headers["location"]
        back = (await http.get(login)).headers["location"]
        result = (await ask("GET", back)).headers["location"]
        fields = page_of(await ask("GET", result)).fields
        return await ask("POST", "/connect/store", csrf=fields["csrf"], link=fields["link"])


async def test_a_client_that_opens_nothing_reads_the_link_and_the_call_works_after_the_login(served: Served) -> None:
    key = await served.make_key("alice", "acme:read")
    async with served.client(key) as client:
        error = error_of(await client.call_tool(LIST, {"org": "acme"}))

        assert (error["code"], error["category"], error["outcome"]) == ("LOGIN_REQUIRED", "auth_expired", "not_sent")
        assert error["retryable"] is True
        link = error["hint"].split()[1]
        assert link.startswith(f"{served.url}/connect/")
        assert page_of(await open_link(link, key)).texts("h1") == ["You are connected"]
        assert not (await client.call_tool(LIST, {"org": "acme"})).is_error

    entry, *_ = await served.app.audit_log.newest(EntryFilter(principal="alice", tool=LIST), 1)
    assert (entry.identity, entry.outcome) == ("own", "succeeded")


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_client_that_opens_addresses_is_given_one_in_its_generations_way(served: Served, mode: Any) -> None:
    key = await served.make_key("alice", "acme:read")
    opened: list[str] = []

    async def person(_context: Any, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        opened.append(params.url)
        await open_link(params.url, key)
        return ElicitResult(action="accept")

    async with served.client(key, mode=mode, elicitation_callback=person) as client:
        if mode == "legacy":
            with pytest.raises(MCPError) as raised:
                await client.call_tool(LIST, {"org": "acme"})
            assert raised.value.code == URL_ELICITATION_REQUIRED
            (elicitation,) = raised.value.data["elicitations"]
            assert elicitation["mode"] == "url"
            assert elicitation["elicitationId"]
            assert "acme" in elicitation["message"]
            await open_link(elicitation["url"], key)
            assert not (await client.call_tool(LIST, {"org": "acme"})).is_error
        else:
            assert not (await client.call_tool(LIST, {"org": "acme"})).is_error
            assert len(opened) == 1


@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
async def test_whoever_repeats_the_call_without_a_login_is_not_asked_again(served: Served, action: Any) -> None:
    key = await served.make_key("alice", "acme:read")
    asked: list[str] = []

    async def person(_context: Any, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action=action)

    async with served.client(key, elicitation_callback=person) as client:
        error = error_of(await client.call_tool(LIST, {"org": "acme"}))

    assert len(asked) == 1
    assert error["code"] == "LOGIN_REQUIRED"
    assert "/connect/" in error["hint"]


async def post(served: Served, key: str, version: str, capabilities: Any, **more: Any) -> httpx2.Response:
    """Make the call as one request."""
    call = json.loads(call_of(version, LIST, 1, capabilities, org="acme"))
    call["params"] |= more.pop("params", {})
    body = json.dumps(call).encode()
    headers: Any = {"Authorization": f"Bearer {key}"} | headers_of(version, body) | more
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        return await client.post("/mcp", content=body, headers=headers)


async def test_any_replica_knows_a_client_of_a_handshake_that_opens_addresses(
    served: Served, open_again: OpenApp
) -> None:
    key = await served.make_key("alice", "acme:read")
    session = {"Mcp-Session-Id": make_session_that_opens_urls()}
    async with open_again() as app, serving(app) as other:
        for replica in (served, other):
            with_session = (await post(replica, key, LEGACY, FORM, **session)).json()
            without = (await post(replica, key, LEGACY, FORM)).json()

            assert with_session["error"]["code"] == URL_ELICITATION_REQUIRED
            assert without["result"]["isError"]


async def test_a_handshake_is_given_a_session_only_where_the_client_opens_addresses(served: Served) -> None:
    key = await served.make_key("alice", "acme:read")

    async def shake_hands(capabilities: Any) -> httpx2.Response:
        params = {"protocolVersion": LEGACY, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}}
        call = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        headers = {"Accept": "application/json, text/event-stream"}
        async with served.raw(key, **headers) as client:
            return await client.post("/mcp", json=call)

    assert "mcp-session-id" in (await shake_hands(URLS)).headers
    for capabilities in ({}, {"elicitation": {}}, {"elicitation": {"form": {}}}, {"elicitation": {"url": None}}):
        assert "mcp-session-id" not in (await shake_hands(capabilities)).headers


async def test_an_answer_that_is_none_is_a_refusal_and_no_failure(served: Served) -> None:
    key = await served.make_key("alice", "acme:read")

    reply = await post(served, key, MODERN, URLS, params={"inputResponses": {"login": {"action": "maybe"}}})

    error = json.loads(reply.json()["result"]["content"][0]["text"])["error"]
    assert error["code"] == "LOGIN_REQUIRED"
    asked = (await post(served, key, MODERN, URLS)).json()["result"]
    assert asked["resultType"] == "input_required"
    assert asked["inputRequests"]["login"]["params"].keys() == {"mode", "message", "url"}


async def test_nobody_without_a_grant_is_led_anywhere(served: Served) -> None:
    key = await served.make_key("mallory")
    async with served.client(key) as client:
        error = error_of(await client.call_tool(LIST, {"org": "acme"}))

    assert error["code"] == "UNKNOWN_ORG"
    assert "connect" not in error.get("hint", "")

"""Who calls too often or too much at once: told for how long to wait, on record each time, and no trouble to others."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from orgserver.app import App
from orgserver.model.audit import AuditEntry, EntryFilter, Outcome
from orgserver.sandbox.org import SandboxOrg
from orgserver.serving.http.messages.body import MOST_VALUES
from orgserver.serving.http.throttling import FREE_BYTES, TOKEN_BYTES, TOKEN_VALUES
from tests.serving.over_http.served import Served, serving

ACCEPT = {"accept": "application/json, text/event-stream"}
LIST = "salesforce_list_contacts"
SLOW = 0.2
"""Requests a second: one, and the next in five seconds."""
IN_FLIGHT = 2


@pytest.fixture
async def slow(app: App) -> AsyncIterator[Served]:
    """A server that lets each principal in once."""
    async with serving(app, rate=SLOW) as server:
        yield server


@pytest.fixture
async def narrow(app: App) -> AsyncIterator[Served]:
    """A server that lets each principal have two requests under way."""
    async with serving(app, in_flight=IN_FLIGHT) as server:
        yield server


def request(number: int = 1, method: str = "tools/call", **params: Any) -> dict[str, Any]:
    if method == "tools/call":
        params = {"name": LIST, "arguments": {"org": "acme", "limit": 1}} | params
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


async def entries_of(app: App, **criteria: Any) -> list[AuditEntry]:
    return [entry async for entry in app.audit_log.entries(EntryFilter(**criteria))]


async def post(client: httpx2.AsyncClient, content: Any) -> httpx2.Response:
    return await client.post("/mcp", json=content, headers=ACCEPT)


def error_of(reply: httpx2.Response) -> dict[str, Any] | None:
    """The error of a tool's result that came as JSON; None for anything else."""
    if reply.headers["content-type"] != "application/json":
        return None
    result = reply.json().get("result", {})
    error: dict[str, Any] | None = json.loads(result["content"][0]["text"]).get("error") if result else None
    return error


async def test_calls_beyond_the_rate_are_told_how_long_to_wait_and_are_an_entry_each(slow: Served) -> None:
    key = await slow.make_key("ada", "acme:read")
    async with slow.raw(key) as client:
        assert (await post(client, request())).status_code == 200
        refused = await asyncio.gather(*(post(client, request(number)) for number in range(100, 104)))

    for error in map(error_of, refused):
        assert error is not None
        assert (error["category"], error["outcome"], error["retryable"]) == ("rate_limited", "denied", True)
        assert (error["code"], error["org"]) == ("RATE_LIMITED", "acme")
        assert error["hint"].startswith(("wait 5.0 seconds", "wait 4."))
    assert {reply.headers["retry-after"] for reply in refused} == {"5"}
    entries = await entries_of(slow.app, principal="ada", outcome=Outcome.DENIED)
    assert {entry.request_id for entry in entries} == {"100", "101", "102", "103"}
    assert {(entry.tool, entry.org, entry.error_code, entry.decision, entry.api_calls) for entry in entries} == {
        (LIST, "acme", "RATE_LIMITED", "limit:rate", 0)
    }


async def test_what_is_no_tool_call_is_answered_429_with_the_time_to_wait(slow: Served) -> None:
    key = await slow.make_key("ada", "acme:read")
    async with slow.raw(key) as client:
        await post(client, request())
        replies = [
            await post(client, request(9, "tools/list")),
            await client.post("/mcp", content=b"{", headers=ACCEPT),
            await client.post("/mcp", content=b"[" * 100_000, headers=ACCEPT),
            await client.get("/mcp", headers=ACCEPT),
        ]

    assert {reply.status_code for reply in replies} == {429}
    assert {reply.headers["retry-after"] for reply in replies} == {"5"}
    assert replies[0].json()["error"]["message"].startswith("too many calls in a short time; wait ")


@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
async def test_a_refused_call_is_answered_in_the_version_that_it_speaks(slow: Served, version: str) -> None:
    key = await slow.make_key("ada", "acme:read")
    async with slow.raw(key, **{"mcp-protocol-version": version}) as client:
        await post(client, request())
        result = (await post(client, request(9))).json()["result"]

    assert result["isError"] is True
    assert ("resultType" in result) == (version == "2026-07-28")


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_client_of_the_sdk_reads_the_refusal_as_its_calls_result(app: App, mode: str) -> None:
    async with serving(app, rate=8.0) as server:
        key = await server.make_key("ada", "acme:read")
        async with server.client(key, mode=mode) as client:
            assert not (await client.call_tool(LIST, {"org": "acme", "limit": 1})).is_error
            calls = (client.call_tool(LIST, {"org": "acme", "limit": 1}) for _ in range(14))
            results = await asyncio.gather(*calls)

    refused = [json.loads(result.content[0].text)["error"] for result in results if result.is_error]
    assert {error["code"] for error in refused} == {"RATE_LIMITED"}
    assert all(error["hint"].startswith("wait 0.") for error in refused)


async def test_so_many_calls_may_be_under_way_and_others_are_not_held_up(narrow: Served, acme: SandboxOrg) -> None:
    ada, bob = [await narrow.make_key(name, "*:read") for name in ("ada", "bob")]
    async with narrow.raw(ada) as client, narrow.raw(bob) as other:
        for number in range(2 * IN_FLIGHT):  # what is answered leaves its place
            assert error_of(await post(client, request(number))) is None
        acme.fault("hang", path=".*/query", seconds=5, times=100)
        hanging = [asyncio.create_task(post(client, request(number))) for number in range(IN_FLIGHT)]
        async with asyncio.timeout(10):
            while len(narrow.app.services.executor._running) < IN_FLIGHT:
                await asyncio.sleep(0.005)

        error = error_of(await post(client, request(7)))
        answer = await post(other, request(8, arguments={"org": "globex", "limit": 1}))

        narrow.app.services.executor.give_up()
        await asyncio.gather(*hanging)
    assert error is not None
    assert (error["category"], error["hint"][:16]) == ("rate_limited", "wait 1.0 seconds")
    assert answer.status_code == 200
    assert b'"isError":true' not in answer.content
    (entry,) = await entries_of(narrow.app, outcome=Outcome.DENIED)
    assert (entry.principal, entry.decision) == ("ada", "limit:in_flight")


@pytest.mark.parametrize("cursor", ["x" * 3 * TOKEN_BYTES, "[" * 3 * TOKEN_VALUES + "x" * FREE_BYTES])
async def test_a_long_body_counts_as_several_requests(slow: Served, cursor: str) -> None:
    keys = [await slow.make_key(name, "acme:read") for name in ("ada", "bob")]
    async with slow.raw(keys[0]) as ada, slow.raw(keys[1]) as bob:
        await post(ada, request(arguments={"org": "acme", "limit": 1, "cursor": cursor}))
        error = error_of(await post(ada, request()))
        other = error_of(await post(bob, request()))

    assert error is not None
    assert 15 < float(error["hint"].split()[1]) < 22  # and 5 after a short one
    assert other is None


async def test_a_body_of_more_values_than_others_can_wait_for_is_not_read(app: App) -> None:
    many = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":[%s1]}}'
    async with serving(app, rate=1_000) as server, server.raw(await server.make_key("ada", "acme:read")) as client:
        replies = [
            await client.post(
                "/mcp", content=many % (b"[]," * count), headers=ACCEPT | {"content-type": "application/json"}
            )
            for count in (MOST_VALUES // 2 - 10, MOST_VALUES // 2)
        ]

    assert [reply.status_code for reply in replies] == [200, 413]
    assert "at most 100,000 values" in replies[1].json()["error"]["message"]

"""The conformance suite's scenarios for a real server, asserted over HTTP without npm (``python -m tests.conformance``)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import PromptReference

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.names import CONTACT
from orgserver.serving.server import build_server
from tests import operations

from .http_serving import serving

HEADERS = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
def served(app: App) -> Callable[[], AbstractAsyncContextManager[str]]:
    @asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        async with serving(build_server(app.services, principal=Principal("local:conformance"))) as url:
            yield url

    return serve


def request(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


INITIALIZE = request(
    1, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t", "version": "1"}
)


@pytest.mark.parametrize("generation", ["legacy", "auto"])
async def test_a_client_of_either_generation_lists_completes_and_calls(served, generation) -> None:
    async with served() as url, Client(url, mode=generation) as client:
        assert client.server_info.name == "orgserver"
        tools = (await client.list_tools()).tools
        resources = await client.list_resources()
        prompts = (await client.list_prompts()).prompts
        completed = await client.complete(PromptReference(name="compare_orgs"), {"name": "org", "value": "a"})
        called = await client.call_tool("salesforce_list_contacts", {"org": "acme"})

    assert all(tool.description and tool.input_schema["type"] == "object" for tool in tools)
    assert resources.resources == []
    assert all(prompt.name and prompt.description for prompt in prompts)
    assert completed.completion.values == ["acme"]
    assert called.structured_content["total_size"] > 0


async def test_ping_and_log_levels_are_answered(served) -> None:
    async with served() as url, Client(url, mode="legacy") as client:
        with pytest.warns(MCPDeprecationWarning):
            await client.set_logging_level("info")
        with pytest.warns(MCPDeprecationWarning):
            await client.send_ping()


@pytest.mark.parametrize("header", ["Host", "Origin"])
async def test_a_foreign_host_or_origin_is_refused_and_loopback_is_not(served, header) -> None:
    foreign = {"Host": "evil.example.com", "Origin": "http://evil.example.com"}[header]

    async with served() as url, httpx.AsyncClient(headers=HEADERS) as web:
        refused = await web.post(url, json=INITIALIZE, headers={header: foreign})
        taken = await web.post(url, json=INITIALIZE)

    assert 400 <= refused.status_code < 500
    assert taken.status_code == 200


async def test_several_streams_of_one_session_get_each_their_own_answer(served) -> None:
    async with served() as url, httpx.AsyncClient(headers=HEADERS) as web:
        session = (await web.post(url, json=INITIALIZE)).headers["mcp-session-id"]
        web.headers.update({"Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25"})
        await web.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        answers = await asyncio.gather(*(web.post(url, json=request(n, "tools/list")) for n in range(10, 13)))

    for number, answer in enumerate(answers, 10):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert f'"id":{number}' in answer.text.replace(" ", "")


@pytest.mark.parametrize("generation", ["legacy", "auto"])
async def test_a_person_is_asked_over_http_too(served, app, caller, generation) -> None:
    await app.registry.update(caller, "acme", policy={"confirm_deletes": True})
    made = await operations.create(app, caller, "t", "acme", CONTACT, {"LastName": "Lovelace"})
    asked: list[str] = []

    async def person(_context: Any, params: Any) -> Any:
        from mcp_types import ElicitResult

        asked.append(params.message)
        return ElicitResult(action="accept", content={})

    async with served() as url, Client(url, mode=generation, elicitation_callback=person) as client:  # type: ignore[arg-type]
        done = await client.call_tool("salesforce_delete_contact", {"org": "acme", "contact_id": made.id})

    assert not done.is_error, done.content
    assert '"Lovelace"' in asked[0]

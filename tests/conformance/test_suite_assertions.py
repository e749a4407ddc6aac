"""What the conformance suite asserts of protocol 2026-07-28 over HTTP, without npm (``python -m tests.conformance``)."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from mcp_types import HEADER_MISMATCH, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY

from .expected_failures import REQUIREMENTS, STABLE
from .judged import serving_suite
from .suites import Check, Findings, Suite

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
CAPABILITIES: dict[str, Any] = {"sampling": {}, "elicitation": {}, "roots": {}}
NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Web:
    """A client without a SDK, which may say what none says."""

    def __init__(self, url: str, web: httpx.AsyncClient) -> None:
        self.url = url
        self.web = web

    def request(
        self, method: str, params: dict[str, Any], headers: dict[str, str | None]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        meta = {
            f"{META}protocolVersion": VERSION,
            f"{META}clientInfo": {"name": "t", "version": "1"},
            f"{META}clientCapabilities": CAPABILITIES,
        }
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"_meta": meta} | params}
        name = params.get(NAMES.get(method, ""))
        every = {"MCP-Protocol-Version": VERSION, "Mcp-Method": method, "Mcp-Name": name, **headers}
        return body, {header: value for header, value in every.items() if value is not None}

    async def ask(
        self, method: str, headers: dict[str, str | None] | None = None, **params: Any
    ) -> tuple[int, dict[str, Any]]:
        body, every = self.request(method, params, headers or {})
        reply = await self.web.post(self.url, json=body, headers=every)
        events = [json.loads(line[5:]) for line in reply.text.splitlines() if line.startswith("data:")]
        answer: dict[str, Any] = events[-1] if events else reply.json()
        assert answer["id"] == 7
        return reply.status_code, answer | {"events": events}

    async def result(self, method: str, **params: Any) -> dict[str, Any]:
        status, answer = await self.ask(method, **params)
        assert status == 200 and "result" in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def call(self, tool: str, **params: Any) -> dict[str, Any]:
        return await self.result("tools/call", name=tool, arguments=params.pop("arguments", {}), **params)


@pytest.fixture
async def judged_server(app) -> AsyncIterator[Web]:
    headers = {"Accept": "application/json, text/event-stream"}
    async with serving_suite(app) as url, httpx.AsyncClient(headers=headers) as web:
        yield Web(url, web)


async def test_what_is_missing_or_unknown_is_refused_by_status_and_code(judged_server) -> None:
    whole = {
        f"{META}protocolVersion": VERSION,
        f"{META}clientInfo": {"name": "t", "version": "1"},
        f"{META}clientCapabilities": {},
    }

    for member in ("protocolVersion", "clientCapabilities"):
        meta = {name: value for name, value in whole.items() if name != META + member}
        status, answer = await judged_server.ask("server/discover", _meta=meta)
        assert (status, answer["error"]["code"]) == (400, INVALID_PARAMS)
    meta = {name: value for name, value in whole.items() if name != f"{META}clientInfo"}
    discovered = await judged_server.result("server/discover", _meta=meta)
    assert VERSION in discovered["supportedVersions"]
    server = discovered["_meta"][f"{META}serverInfo"]
    assert server["name"] == "orgserver"
    assert re.fullmatch(r"data:image/[\w.+-]+,[\w.~:/'=%-]+", server["icons"][0]["src"]), "a URI holds no blank"

    for method in ("initialize", "ping", "logging/setLevel", "resources/subscribe", "unknown/method"):
        status, answer = await judged_server.ask(method)
        assert (status, answer["error"]["code"]) == (404, METHOD_NOT_FOUND), method

    unknown = whole | {f"{META}protocolVersion": "v999"}
    status, answer = await judged_server.ask("server/discover", {"MCP-Protocol-Version": "v999"}, _meta=unknown)
    assert status == 400
    assert answer["error"]["data"] == {"supported": discovered["supportedVersions"], "requested": "v999"}
    status, answer = await judged_server.ask("server/discover", _meta=unknown)
    assert (status, answer["error"]["code"]) == (400, HEADER_MISMATCH)

    status, answer = await judged_server.ask("tools/call", name="test_missing_capability", _meta=whole)
    assert (status, answer["error"]["code"]) == (400, MISSING_REQUIRED_CLIENT_CAPABILITY)
    assert answer["error"]["data"] == {"requiredCapabilities": {"sampling": {}}}


async def test_headers_that_differ_from_the_body_are_refused(judged_server) -> None:
    call = {"name": "test_custom_header", "arguments": {"region": "Hello"}}
    region = {"Mcp-Param-Region": "Hello"}
    wrong: list[tuple[str, dict[str, str | None]]] = [
        ("tools/list", {"Mcp-Method": "prompts/list"}),
        ("tools/list", {"Mcp-Method": None}),
        ("tools/list", {"Mcp-Method": "TOOLS/LIST"}),
        ("tools/call", {"Mcp-Name": "another_tool"}),
        ("tools/call", {"Mcp-Name": None}),
        ("tools/call", {"Mcp-Param-Region": None}),
        ("tools/call", {"Mcp-Param-Region": "=?base64?SGVsbG8?="}),
        ("tools/call", {"Mcp-Param-Region": "=?base64?SGVs!!!bG8=?="}),
    ]

    for method, headers in wrong:
        params, right = (call, region) if method == "tools/call" else ({}, {})
        accepted, _ = await judged_server.ask(method, right, **params)
        status, answer = await judged_server.ask(method, right | headers, **params)
        assert accepted == 200
        assert (status, answer["error"]["code"]) == (400, HEADER_MISMATCH), headers


async def test_a_header_may_be_in_base64_and_what_only_looks_like_it_is_itself(judged_server) -> None:
    for value, header in (
        ("Hello", f"=?base64?{base64.b64encode(b'Hello').decode()}?="),
        ("SGVsbG8=", "SGVsbG8="),
        ("=?base64?SGVsbG8=", "=?base64?SGVsbG8="),
    ):
        params = {"name": "test_custom_header", "arguments": {"region": value}}
        status, answer = await judged_server.ask("tools/call", {"Mcp-Param-Region": header}, **params)
        assert status == 200 and "result" in answer, header


async def test_every_kind_of_content_comes_through(judged_server) -> None:
    call = judged_server.call
    kinds = {
        "test_simple_text": ["text"],
        "test_image_content": ["image"],
        "test_audio_content": ["audio"],
        "test_embedded_resource": ["resource"],
        "test_multiple_content_types": ["text", "image", "resource"],
    }
    for tool, expected in kinds.items():
        assert [each["type"] for each in (await call(tool))["content"]] == expected
    assert (await call("test_error_handling"))["isError"] is True

    token = {"name": "test_tool_with_progress", "_meta": {f"{META}protocolVersion": VERSION, "progressToken": "p"}}
    token["_meta"] |= {f"{META}clientCapabilities": {}}  # type: ignore[operator]
    _, answer = await judged_server.ask("tools/call", **token)
    progress = [each["params"]["progress"] for each in answer["events"] if "method" in each]
    assert progress == [0, 50, 100]
    _, answer = await judged_server.ask("tools/call", name="test_logging_tool")
    assert all("method" not in each for each in answer["events"]), "nobody asked for log messages"


async def test_lists_prompts_and_resources_are_whole_and_say_how_long_they_hold(judged_server) -> None:
    tools, prompts, resources, templates = [
        await judged_server.result(f"{kind}/list") for kind in ("tools", "prompts", "resources", "resources/templates")
    ]
    text = await judged_server.result("resources/read", uri="test://static-text")
    for result in (tools, prompts, resources, templates, text):
        assert result["ttlMs"] >= 0 and result["cacheScope"] == "private"

    listed = {each["name"]: each for each in tools["tools"]}
    schema = listed["json_schema_2020_12_tool"]["inputSchema"]
    assert {"$schema", "$defs", "allOf", "if", "then", "else", "additionalProperties"} <= schema.keys()
    assert schema["$defs"]["address"]["$anchor"] == "addressDef"
    assert "salesforce_create_contact" in listed, "the server's own tools stand beside the suite's"

    values = {"arg1": "hello", "arg2": "world"}
    prompt = await judged_server.result("prompts/get", name="test_prompt_with_arguments", arguments=values)
    assert "arg1='hello', arg2='world'" in prompt["messages"][0]["content"]["text"]
    template = await judged_server.result("resources/read", uri="test://template/123/data")
    assert json.loads(template["contents"][0]["text"])["id"] == "123"

    missing = "test://nonexistent"
    _, answer = await judged_server.ask("resources/read", uri=missing)
    assert (answer["error"]["code"], answer["error"]["data"]["uri"]) == (INVALID_PARAMS, missing)


async def test_a_question_is_the_result_and_the_answer_comes_with_the_repeated_call(judged_server) -> None:
    call, prefix = judged_server.call, "test_input_required_result_"
    accept = {"action": "accept", "content": {"name": "Alice", "ok": True, "color": "blue"}}
    sampled = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"}
    answers = {"elicitation/create": accept, "sampling/createMessage": sampled, "roots/list": {"roots": []}}

    for tool, rounds in {"elicitation": 1, "sampling": 1, "list_roots": 1, "request_state": 1, "multiple_inputs": 1, "multi_round": 2}.items():  # fmt: skip
        result, states = await call(prefix + tool), []
        for _ in range(rounds):
            assert result["resultType"] == "input_required"
            responses = {key: answers[each["method"]] for key, each in result["inputRequests"].items()}
            state = {"requestState": result["requestState"]} if "requestState" in result else {}
            states.append(state)
            result = await call(prefix + tool, inputResponses=responses | {"extra": accept}, **state)
        assert result["resultType"] == "complete" and result["content"], tool
        assert rounds == 1 or states[0] != states[1]

    again = await call(prefix + "elicitation", inputResponses={"wrong_key": accept})
    assert again["resultType"] == "input_required"
    _, answer = await judged_server.ask("tools/call", name=prefix + "elicitation", inputResponses={"user_name": 1})
    assert answer.get("result", {}).get("resultType") != "complete"
    only_sampling = {f"{META}protocolVersion": VERSION, f"{META}clientCapabilities": {"sampling": {}}}
    asked = (await call(prefix + "capabilities", _meta=only_sampling))["inputRequests"]
    assert [each["method"] for each in asked.values()] == ["sampling/createMessage"]

    prompt = {"name": prefix + "prompt", "inputResponses": {"user_context": accept}}
    assert (await judged_server.result("prompts/get", name=prefix + "prompt"))["resultType"] == "input_required"
    assert (await judged_server.result("prompts/get", **prompt))["messages"]


async def test_a_state_that_was_changed_is_refused(judged_server) -> None:
    tool = "test_input_required_result_tampered_state"
    state = (await judged_server.call(tool))["requestState"]
    responses = {"confirm": {"action": "accept", "content": {"ok": True}}}

    for changed in (state + "-TAMPERED", state[:-2] + ("AA" if state[-2:] != "AA" else "BB"), ""):
        _, answer = await judged_server.ask("tools/call", name=tool, inputResponses=responses, requestState=changed)
        assert answer["error"]["code"] == INVALID_PARAMS


async def test_a_listening_stream_is_acknowledged_first_and_tells_only_what_was_asked_for(judged_server) -> None:
    body, headers = judged_server.request("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, {})
    methods, identifiers = [], []

    async with (
        asyncio.timeout(10),
        judged_server.web.stream("POST", judged_server.url, json=body, headers=headers) as stream,
    ):
        async for line in stream.aiter_lines():
            if not line.startswith("data:"):
                continue
            event = json.loads(line[5:])
            methods.append(event["method"])
            identifiers.append(event["params"]["_meta"][f"{META}subscriptionId"])
            if len(methods) == 1:
                await judged_server.call("test_trigger_prompt_change")
                await judged_server.call("test_trigger_tool_change")
            else:
                break

    assert methods == ["notifications/subscriptions/acknowledged", "notifications/tools/list_changed"]
    assert identifiers == [7, 7]


def test_what_is_red_and_not_listed_is_told_and_so_is_what_is_listed_and_not_red() -> None:
    def find(*checks: Check) -> Findings:
        return Findings(Suite("1", "t", (), STABLE[:1]), checks)

    red = Check("tools-call-sampling", "tools-call-sampling", "FAILURE", "")
    other = Check("tools-call-sampling", "another", "WARNING", "")

    assert (find(red).unexpected, find(red).stale) == ([], [])
    assert (find(red, other).unexpected, find(red, other).stale) == ([other], [])
    assert find(Check("tools-list", "tools-list", "SUCCESS", "")).stale == [STABLE[0]]


def test_the_page_lists_every_expected_failure_with_its_reason(pytestconfig) -> None:
    page = (pytestconfig.rootpath / "docs" / "conformance.md").read_text("utf-8")

    rows = [line for line in page.splitlines() if line.startswith("| `")]

    assert rows == [f"| `{each.scenario}` | {each.reason} |" for each in (*STABLE, *REQUIREMENTS)]

"""Calls over HTTP that go past the SDK are heard and answered as those that go its way."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.both_ways import FORM, MODERN, VERSIONS, call_of, envelope, heard, line_of
from tests.serving.over_http.both_ways import Answer, Posts, headers_of, serving
from tests.serving.test_plain_calls import GET, LIST, lines, tried
from tests.tools.conftest import CONTACT_ID

Header = str | list[str]


class BothWays:
    """The same requests to both endpoints, for as long as hypothesis tries."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        loop = self._runner.get_loop()
        ready, self._end = loop.create_future(), asyncio.Event()
        self._serving = loop.create_task(self._serve(ready))
        self.past, self.by_sdk = loop.run_until_complete(ready)

    async def _serve(self, ready: asyncio.Future[tuple[Posts, Posts]]) -> None:
        async with serving(past_sdk=True) as past, serving(past_sdk=False) as by_sdk:
            ready.set_result((past, by_sdk))
            await self._end.wait()

    def close(self) -> None:
        self._end.set()
        self._runner.get_loop().run_until_complete(self._serving)
        self._runner.close()

    def check(self, body: bytes, headers: dict[str, Header]) -> Answer:
        """Both answer the same, after both have passed the same on."""
        past, by_sdk = (self._runner.run(each.post(body, headers)) for each in (self.past, self.by_sdk))
        assert past.status == by_sdk.status
        assert past.is_complete
        assert repr(past.messages) == repr(by_sdk.messages)
        if headers.get("MCP-Protocol-Version") == MODERN:
            assert past.headers.get(b"content-type") == by_sdk.headers.get(b"content-type")
        assert heard(self.past) == heard(self.by_sdk)  # type: ignore[arg-type]
        assert self.past.recorded == self.by_sdk.recorded
        for each in (self.past, self.by_sdk):
            for calls in (each.operations.calls, each.operations.callers, each.operations.refusals, each.recorded):
                calls.clear()
        return past


@pytest.fixture(scope="module")
def both() -> Iterator[BothWays]:
    both = BothWays()
    yield both
    both.close()


odd_headers: dict[str, st.SearchStrategy[Any]] = {
    "MCP-Protocol-Version": st.sampled_from([*VERSIONS, "2099-01-01", "", [MODERN, MODERN]]),
    "Mcp-Method": st.sampled_from(["tools/call", "tools/list", "", ["tools/call", "tools/list"]]),
    "Mcp-Name": st.sampled_from([LIST, "=?base64?eA==?=", "=?base64?x?=", [LIST, LIST]]),
    "Mcp-Param-Org": st.sampled_from(["acme", "globex", "=?base64?YWNtZQ==?=", "", ["acme", "globex"]]),
    "Accept": st.sampled_from(["application/json", "*/*", "text/event-stream", "", "application/*;q=0.5, text/*"]),
    "Content-Type": st.sampled_from(["application/json; charset=utf-8", "text/plain", "Application/JSON", ""]),
    "X-Other": st.just(["a", "b"]),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", [None, "2025-11-25", MODERN])
def test_whatever_a_client_posts_is_heard_and_answered_alike(both: BothWays, version: str | None) -> None:
    @tried(150)
    @given(lines(version or "2025-03-26"), st.data())
    def answers(body: bytes, data: st.DataObject) -> None:
        headers = headers_of(version, body)
        if data.draw(st.integers(0, 2)) == 0:
            headers |= data.draw(st.fixed_dictionaries({}, optional=odd_headers))
        both.check(body, headers)

    before = both.past.endpoint.count
    answers()
    assert both.past.endpoint.count > before
    assert both.by_sdk.endpoint.count == 0


@pytest.mark.parametrize("version", [None, *VERSIONS])
def test_a_call_and_its_progress_are_answered_alike(both: BothWays, version: str | None) -> None:
    call = json.loads(call_of(version or "2025-03-26", GET, "é", org="acme", contact_id=CONTACT_ID))
    plain = both.check(body := json.dumps(call).encode(), headers_of(version, body))
    call["params"]["_meta"] = call["params"].get("_meta", {}) | {"progressToken": "t"}
    told = both.check(body := json.dumps(call).encode(), headers_of(version, body))
    silent = both.check(body, headers_of(version, body) | {"Accept": "application/json"})

    assert plain.headers[b"content-type"] == silent.headers[b"content-type"] == b"application/json"
    assert told.is_stream
    assert [each.get("method") for each in told.messages] == ["notifications/progress"] * 2 + [None]
    assert plain.messages == silent.messages == told.messages[-1:]
    assert plain.messages[0]["result"]["structuredContent"]["org"] == "acme"


def test_a_person_is_asked_by_a_result(both: BothWays) -> None:
    for each in (both.past, both.by_sdk):
        each.operations.asks = True
    call = json.loads(call_of(MODERN, GET, 5, FORM, org="acme", contact_id=CONTACT_ID))
    asked = both.check(body := json.dumps(call).encode(), headers_of(MODERN, body))
    call["params"] |= {"requestState": "sealed", "inputResponses": {"confirm": {"action": "accept", "content": {}}}}
    answered = both.check(body := json.dumps(call).encode(), headers_of(MODERN, body))
    for each in (both.past, both.by_sdk):
        each.operations.asks = False

    assert asked.messages[0]["result"]["resultType"] == "input_required"
    assert "error" not in answered.messages[0]


def test_what_disagrees_with_its_headers_is_refused_and_recorded(both: BothWays) -> None:
    body = call_of(MODERN, LIST, 5, org="acme")
    right = headers_of(MODERN, body)
    wrong: list[dict[str, Header]] = [
        {"Mcp-Method": "tools/list"},
        {"Mcp-Name": GET},
        {"Mcp-Param-Org": "globex"},
        {"Mcp-Param-Org": ["acme", "globex"]},
        {"Mcp-Name": [LIST, LIST]},
    ]
    for each in [*({name: value} for one in wrong for name, value in one.items())]:
        answer = asyncio.run(_post_alone(body, right | each))
        assert (answer[0].status, answer[0].messages[0]["error"]["code"]) == (400, -32020)
        assert answer[1] == [("5", LIST)]
    for missing in ("Mcp-Method", "Mcp-Name", "Mcp-Param-Org"):
        assert both.check(body, {name: value for name, value in right.items() if name != missing}).status == 400


async def _post_alone(body: bytes, headers: dict[str, Header]) -> tuple[Answer, list[Any]]:
    async with serving(past_sdk=True) as posts:
        return await posts.post(body, headers), posts.recorded


def test_lists_name_the_header_of_the_org_where_gateways_read_it(both: BothWays) -> None:
    def org_schemas(version: str | None) -> list[Any]:
        body = line_of("tools/list", {"_meta": envelope()} if version == MODERN else {})
        (answer,) = both.check(body, headers_of(version, body)).messages
        return [each["inputSchema"]["properties"].get("org") for each in answer["result"]["tools"]]

    routed, others = org_schemas(MODERN), org_schemas("2025-11-25")
    assert {each["x-mcp-header"] for each in routed if each is not None} == {"Org"}
    assert routed.count(None) == others.count(None) == 2
    assert not any("x-mcp-header" in each for each in others if each is not None)

"""Every tool of every toolset, given what its own input schema allows and what it does not.

Whatever comes, the answer is a result or one of the contract's errors, soon, and never a defect of ours.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp.client.client import Client
from mcp_types import CallToolResult

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Scope
from orgserver.sandbox.server import Sandbox
from orgserver.serving.server import build_server
from orgserver.tools import toolsets
from orgserver.tools.tool import schema_of

SPECS = {spec.name: spec for specs in toolsets.TOOLSETS.values() for spec in specs}
CATEGORIES = {
    "unknown_org", "forbidden", "policy", "invalid_argument", "not_found", "conflict", "auth_expired", "rate_limited",
    "upstream",
}  # fmt: skip
KEYS = {"code", "category", "message", "org", "fields", "retryable", "outcome", "hint"}
LONGEST = 15.0

odd = st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "\u202e",
        "\ud800",
        "'; DELETE",
        "a" * 300,
        "../../x",
        "{{7*7}}",
        "=1+1",
        "💥",
        "ignore previous instructions",
        "1e400",
        "NaN",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
known = {
    "org": st.sampled_from(["acme", "acme", "acme", "globex", "nowhere"]),
    "orgs": st.sampled_from([["acme"], ["*"], ["acme", "globex"], ["nowhere"]]),
    "object": st.sampled_from(["Contact", "Event", "Account", "Nothing__c"]),
    "soql": st.sampled_from(
        ["SELECT Id FROM Contact LIMIT 3", "SELECT COUNT() FROM Contact", "SELECT", "SELECT Id FROM Nothing__c"]
    ),
    "fields": st.sampled_from([["Id"], ["LastName", "Account.Name"], ["Nothing"], []]),
    "order_by": st.sampled_from(["LastName", "LastName desc", "Id; DROP"]),
}
IDS = st.sampled_from(["003Sb0000000002IAA", "003Sb0000000002", "00USb0000000001IAA", "003000000000000AAA", "x"])


def of_schema(schema: dict[str, Any], name: str = "") -> st.SearchStrategy[Any]:
    """What a schema allows, nearer to real use where the name tells."""
    if name in known:
        return known[name] | odd
    if name.endswith("_id") or name in ("Id", "id"):
        return IDS | odd
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return st.one_of(*(of_schema(each) for each in schema[word]))
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        return st.one_of(*(of_schema(schema | {"type": each}) for each in kind))
    return _of_kind(kind, schema)


def _of_kind(kind: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "string":
        moments = st.sampled_from(["2026-02-20T18:00:00Z", "2026-02-20", "2026-02-30T00:00:00Z"])
        text = st.text(max_size=min(schema.get("maxLength", 40), 40)) | odd
        return text | moments
    if kind == "array":
        return st.lists(of_schema(schema.get("items", {})), max_size=3)
    if kind == "object":
        return _object(schema)
    return {
        "integer": st.integers(schema.get("minimum", -5), schema.get("maximum", 5_000)),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "null": st.none(),
    }[kind]


def _object(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    inner = {name: of_schema(each, name) for name, each in schema.get("properties", {}).items()}
    required = {name: each for name, each in inner.items() if name in schema.get("required", ())}
    optional = {name: each for name, each in inner.items() if name not in required}
    if not inner:
        return st.dictionaries(st.sampled_from(["LastName", "Email", "Nothing", "a b", ""]), anything, max_size=3)
    return st.fixed_dictionaries(required, optional=optional)


@st.composite
def arguments_of(draw: st.DrawFn, tool: str) -> dict[str, Any]:
    """Arguments from the tool's own schema; in one call of three something about them is wrong."""
    arguments: dict[str, Any] = dict(draw(of_schema(schema_of(SPECS[tool].arguments))))
    wrong = draw(st.sampled_from(["nothing"] * 4 + ["value", "name"]))
    if wrong == "value" and arguments:
        arguments[draw(st.sampled_from(sorted(arguments)))] = draw(anything)
    if wrong == "name":
        arguments[draw(st.text(max_size=20) | odd)] = draw(anything)
    return arguments


class Standing:
    """A server over two pretend orgs that stands in a thread of its own while hypothesis tries things."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._loop = asyncio.new_event_loop()
        self._ready: Future[None] = Future()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._stand(),), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        self._loop.close()

    async def _stand(self) -> None:
        try:
            async with Sandbox.start(2) as sandbox, open_app(read_settings({"home": self._home}, {})) as app:
                await register(app, sandbox)
                scope = Scope(toolsets=frozenset({"all"}))
                server = build_server(app.services, principal=Principal("local:fuzz"), scope=scope)
                async with Client(server) as self._client:
                    self._ready.set_result(None)
                    await self._end.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        called = asyncio.run_coroutine_threadsafe(self._client.call_tool(tool, arguments), self._loop)
        return called.result(LONGEST)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with Standing(tmp_path_factory.mktemp("fuzz") / "home") as started:
        yield started


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tool", SPECS)
def test_whatever_a_tool_is_given_it_answers_by_the_contract(standing: Standing, tool: str) -> None:
    @settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(arguments_of(tool))
    def answers(arguments: dict[str, Any]) -> None:
        began = time.monotonic()
        result = standing.call(tool, arguments)
        assert time.monotonic() - began < LONGEST
        if result.is_error:
            _is_of_the_contract(result)
        else:
            assert isinstance(result.structured_content, dict)

    answers()


def _is_of_the_contract(result: CallToolResult) -> None:
    (only,) = result.content
    assert only.type == "text"
    assert "Traceback" not in only.text
    error = json.loads(only.text)["error"]
    assert error.keys() <= KEYS
    assert error["category"] in CATEGORIES, error
    assert error["outcome"] in ("denied", "not_sent", "rejected", "unknown")
    assert error["message"]
    if error["code"] == "INVALID_ARGUMENT":
        assert error["fields"], error

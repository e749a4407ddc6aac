"""The same requests to an endpoint whose calls go past the SDK, and to one whose calls all go its way."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mcp.shared.inbound import encode_header_value

from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller, Scope
from orgserver.serving.http.endpoint import McpEndpoint, caller_of_request
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.server import build_server_and_calls
from tests.serving.both_ways import MODERN, TRACE, Operations

CALLER = Caller(Principal("ada"), "http")


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    is_complete: bool = False

    @property
    def is_stream(self) -> bool:
        return self.headers.get(b"content-type", b"").startswith(b"text/event-stream")

    @property
    def messages(self) -> list[Any]:
        """The messages in it, whether it is JSON or a stream of events."""
        if not self.is_stream:
            return [json.loads(self.body)] if self.body else []
        events = self.body.decode().replace("\r\n", "\n").split("\n\n")
        return [json.loads(each.partition("data: ")[2]) for each in events if "data: " in each]


class Counting(McpEndpoint):
    """Counts the calls that go past the SDK."""

    count = 0

    async def _answer_plain(self, *of_call: Any) -> None:
        self.count += 1
        await super()._answer_plain(*of_call)


@dataclass
class Posts:
    """An endpoint, and what its calls reached."""

    endpoint: Counting
    operations: Operations
    recorded: list[tuple[str | None, str | None]]
    """The requests and tools of calls that no tool has seen."""

    async def post(
        self,
        body: bytes,
        headers: Mapping[str, str | list[str]],
        *,
        caller: Caller = CALLER,
        gone: asyncio.Event | None = None,
        method: str = "POST",
    ) -> Answer:
        """Send one request; ``gone`` is when its client goes away."""
        answer = Answer()
        parts = [body]

        async def receive() -> Any:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": False}
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                assert not answer.status
                answer.status, answer.headers = message["status"], dict(message["headers"])
            else:
                assert answer.status and not answer.is_complete
                answer.body += message.get("body", b"")
                answer.is_complete = not message.get("more_body", False)

        raw = [
            (name.lower().encode(), each.encode("latin-1"))
            for name, value in headers.items()
            for each in (value if isinstance(value, list) else [value])
        ]
        scope = {"type": "http", "method": method, "path": "/mcp", "query_string": b"", "headers": raw}
        await self.endpoint.answer(caller, scope, receive, send)
        return answer


@asynccontextmanager
async def serving(*, past_sdk: bool) -> AsyncIterator[Posts]:
    """An endpoint over pretend operations."""
    operations = Operations()
    services: Any = operations
    server, tool_calls = build_server_and_calls(services, caller_of_request, Scope(toolsets=frozenset({"all"})))
    recorded: list[tuple[str | None, str | None]] = []

    async def record(caller: Caller, tool: str | None) -> None:
        recorded.append((caller.request_id, tool))

    options = HttpOptions("127.0.0.1", 0)
    endpoint = Counting(server, tool_calls, options, record, TRACE if past_sdk else None)
    async with endpoint.running():
        yield Posts(endpoint, operations, recorded)


def headers_of(version: str | None, body: bytes) -> dict[str, str | list[str]]:
    """The headers that a client of a version sends with a message."""
    headers: dict[str, str | list[str]] = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    if version is not None:
        headers["MCP-Protocol-Version"] = version
    if version == MODERN:
        headers |= _mirror(body)
    return headers


def _mirror(body: bytes) -> dict[str, str]:
    try:
        content = json.loads(body)
        method, params = content["method"], content.get("params") or {}
        name, arguments = params.get("name"), params.get("arguments") or {}
        values = {"Mcp-Method": method, "Mcp-Name": name, "Mcp-Param-Org": arguments.get("org")}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"Mcp-Method": "tools/call"}
    return {header: _spell(value) for header, value in values.items() if isinstance(value, str)}


def _spell(value: str) -> str:
    try:
        return encode_header_value(value)
    except UnicodeEncodeError:  # half a surrogate pair has no header
        return "?"

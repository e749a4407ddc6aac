"""Messages that the SDK answers: all but plain calls. Calls that it refuses by itself are put on record first."""

from __future__ import annotations

import asyncio
import json
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.inbound import (
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
    validate_mcp_param_headers,
)
from mcp_types import PARSE_ERROR, JSONRPCMessage, JSONRPCRequest
from pydantic_core import from_json
from starlette.datastructures import Headers as RawHeaders
from starlette.types import Message, Receive, Scope, Send

from orgserver.model.orgs import Caller
from orgserver.serving.elicitation.url_sessions import HEADER, make_session_that_opens_urls
from orgserver.serving.fragments import read_fragment
from orgserver.serving.http.exchange import note_request_id
from orgserver.serving.http.messages.headers import Headers
from orgserver.serving.http.messages.watch import Watch
from orgserver.serving.http.replies import Reply, send_reply
from orgserver.serving.messages import Unreadable, read_message

CALLER = "orgserver.caller"
"""Where the SDK's request has who sent it."""
_OK = 200
RecordRefusal = Callable[[Caller, str | None], Awaitable[None]]
"""Puts a tool call that no tool will see on record, by the tool's name where that is known."""


class SdkMessages:
    """Hands messages to the SDK, which answers with JSON or a stream of events."""

    def __init__(self, server: Server[Any], max_body: int, record_refusal: RecordRefusal) -> None:
        self._find_schema = server.get_tool_input_schema
        self._record_refusal = record_refusal
        make_manager = partial(StreamableHTTPSessionManager, server, stateless=True, max_request_body_size=max_body)
        self._by_json, self._by_events = make_manager(json_response=True), make_manager(json_response=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer until the block ends."""
        async with self._by_json.run(), self._by_events.run():
            yield

    async def answer(
        self, caller: Caller, headers: Headers, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer one message."""
        try:
            message = _read(body, headers)
        except Unreadable as problem:
            await self._refuse(caller, problem, send)
            return
        if isinstance(message, JSONRPCRequest):
            note_request_id(scope, message.id)
        if self._is_refused_call(message, headers, scope):
            assert isinstance(message, JSONRPCRequest)  # noqa: S101  # for mypy
            await self._record(caller, message.id, (message.params or {}).get("name"))
        if _opens_urls(message):
            send = _send_session(send)
        manager = self._by_events if _may_stream(message, headers) else self._by_json
        with Watch(receive):
            await manager.handle_request({**scope, CALLER: caller}, _replay(body), send)

    async def _refuse(self, caller: Caller, problem: Unreadable, send: Send) -> None:
        """Answer what is no message."""
        if problem.request.method == "tools/call":
            await self._record(caller, problem.request.id, problem.request.tool)
        error = {"code": problem.code, "message": str(problem)}
        content = {"jsonrpc": "2.0", "id": problem.request.id, "error": error}
        await send_reply(send, Reply(400, json.dumps(content).encode()))

    async def _record(self, caller: Caller, request_id: str | int | None, tool: object) -> None:
        caller = replace(caller, request_id=None if request_id is None else str(request_id))
        await self._record_refusal(caller, tool if isinstance(tool, str) else None)

    def _is_refused_call(self, message: JSONRPCMessage, headers: Headers, scope: Scope) -> bool:
        """Whether the SDK will refuse a call for what its headers or its envelope say, before we hear of it."""
        if not isinstance(message, JSONRPCRequest) or message.method != "tools/call" or not headers.is_modern:
            return False
        raw = RawHeaders(scope=scope)
        params = message.params or {}
        if find_duplicated_routing_header(raw.items()) is not None:
            return True
        route = classify_inbound_request({"method": message.method, "params": params}, headers=dict(raw))
        if isinstance(route, InboundLadderRejection):
            return True
        tool, arguments = params.get("name"), params.get("arguments", {})
        schema = self._find_schema(tool) if self._find_schema is not None and isinstance(tool, str) else None
        if schema is None or not isinstance(arguments, dict):
            return False
        return validate_mcp_param_headers(schema, arguments, raw) is not None


def _read(body: bytes, headers: Headers) -> JSONRPCMessage:
    """Read a message; Unreadable for what others would read otherwise: JSON between programs is in UTF-8 (RFC 8259)."""
    if not _is_utf_8(body):
        raise Unreadable(PARSE_ERROR, "this is not JSON in UTF-8", read_fragment(body))
    message = read_message(body)
    if not headers.is_modern:
        try:
            from_json(body)
        except ValueError:  # half a surrogate pair, which the SDK reads only from 2026-07-28 on
            raise Unreadable(PARSE_ERROR, "this is not JSON in UTF-8", read_fragment(body)) from None
    return message


def _is_utf_8(body: bytes) -> bool:
    """Whether it is; Python's reader would take UTF-16 and UTF-32, too, whose ASCII has zeros, and marks of order."""
    if b"\0" in body or body.startswith(BOM_UTF8):
        return False
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_stream(message: JSONRPCMessage, headers: Headers) -> bool:
    """Whether the answer may be a stream; up to 2025-11-25 the SDK makes one always or never."""
    if not headers.takes_events or not isinstance(message, JSONRPCRequest):
        return False
    return headers.is_modern or message.method == "tools/call"


def _opens_urls(message: JSONRPCMessage) -> bool:
    """Whether a handshake is that of a client that opens addresses for its person (2025-11-25)."""
    if not isinstance(message, JSONRPCRequest) or message.method != "initialize":
        return False
    capabilities = (message.params or {}).get("capabilities")
    elicitation = capabilities.get("elicitation") if isinstance(capabilities, dict) else None
    return isinstance(elicitation, dict) and isinstance(elicitation.get("url"), dict)


def _send_session(send: Send) -> Send:
    """Sends an answer with an id by which every process knows later that the client opens addresses."""
    header = (HEADER.encode(), make_session_that_opens_urls().encode())

    async def send_with_session(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == _OK:
            message = {**message, "headers": [*message.get("headers", ()), header]}
        await send(message)

    return send_with_session


def _replay(body: bytes) -> Receive:
    """Gives the body once more; that a client goes away is noticed by others."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise RuntimeError("nothing ends this wait but its cancellation")

    return receive

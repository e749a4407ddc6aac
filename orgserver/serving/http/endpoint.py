"""``/mcp``: one message in, its answer out; whatever the caller is, the request brings it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from starlette.types import Receive, Scope, Send

from orgserver.model.orgs import Caller
from orgserver.serving.http.exchange import note_request_id
from orgserver.serving.http.messages.body import Gone, read_body
from orgserver.serving.http.messages.headers import read_headers
from orgserver.serving.http.messages.plain_calls import PlainPosts
from orgserver.serving.http.messages.response import CallResponse
from orgserver.serving.http.messages.sdk import CALLER, RecordRefusal, SdkMessages
from orgserver.serving.http.messages.watch import Watch
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.http.replies import Reply, send_reply
from orgserver.serving.plain_calls import PlainCall, run_plain_call
from orgserver.serving.tool_calls import ToolCalls


def caller_of_request(ctx: ServerRequestContext[Any]) -> Caller:
    """Who sent the request that a message came with."""
    caller = ctx.request.scope.get(CALLER) if ctx.request is not None else None
    if not isinstance(caller, Caller):
        raise RuntimeError("a message came in without a caller")  # noqa: TRY004  # a defect of ours
    return caller


class McpEndpoint:
    """Answers requests to ``/mcp`` whose callers are known.

    ``record_refusal`` puts calls on record that no tool will see. ``trace_members`` are as ``PlainPosts`` has them;
    where they are None, the SDK answers every call.
    """

    def __init__(
        self,
        server: Server[Any],
        tool_calls: ToolCalls,
        options: HttpOptions,
        record_refusal: RecordRefusal,
        trace_members: frozenset[str] | None,
    ) -> None:
        self._tool_calls = tool_calls
        self._max_body = options.max_body
        self._sdk = SdkMessages(server, options.max_body, record_refusal)
        self._plain = PlainPosts(server, tool_calls, trace_members) if trace_members is not None else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Answer until the block ends."""
        async with self._sdk.running():
            yield self

    async def answer(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = read_headers(scope)
        if isinstance(headers, Reply):
            await send_reply(send, headers)
            return
        try:
            body = await read_body(receive, headers.length, self._max_body)
        except Gone:
            return
        if isinstance(body, Reply):
            await send_reply(send, body)
            return
        call = self._plain.read(headers, body) if self._plain is not None else None
        if call is None:
            await self._sdk.answer(caller, headers, body, scope, receive, send)
            return
        note_request_id(scope, call.id)
        await self._answer_plain(call, caller, receive, CallResponse(scope, send, takes_events=headers.takes_events))

    async def _answer_plain(self, call: PlainCall, caller: Caller, receive: Receive, response: CallResponse) -> None:
        with Watch(receive, response.ping):
            await response.finish(await run_plain_call(call, self._tool_calls, caller, response))

"""Tool calls that need nothing of the SDK: decoded once, answered by one task, their results encoded once.

Nearly every line of a client that is connected is one. The SDK would build and check each of them four times over, and
each result three times, to the same bytes. Every other line goes its way, which ``PlainCalls.read`` decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

import anyio
import mcp_types as mcp
import msgspec
from mcp.server.lowlevel import Server
from mcp.shared.dispatcher import as_request_id, coerce_request_id
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types.jsonrpc import RequestId
from pydantic_core import from_json

from orgserver.model.orgs import Caller, Progress
from orgserver.serving.clients import PROGRESS, Client, Clients
from orgserver.serving.envelopes import Response
from orgserver.serving.tool_calls import ToolCalls, complete_caller

logger = logging.getLogger("orgserver.serving")

_MEMBERS = {"jsonrpc", "id", "method", "params"}
_PARAMETERS = {"name", "arguments", "_meta"}
_NOTHING: dict[str, Any] = {}
_CLOSED = mcp.ErrorData(code=mcp.CONNECTION_CLOSED, message="Connection closed")
_INVALID = mcp.ErrorData(code=mcp.INTERNAL_ERROR, message="Handler returned an invalid result")
"""What the SDK says then."""
_CLOSING_SECONDS = 1.0
"""For the last answers, when nobody may be there to read them."""


class Notices(Protocol):
    """Where goes what a call tells before its answer."""

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message; BrokenResourceError when the client is gone."""


class Answers(Notices, Protocol):
    """Where answers go, too."""

    async def answer(self, request_id: RequestId, response: Response) -> None:
        """Write the response to a request; BrokenResourceError when the client is gone."""


class PlainCall(msgspec.Struct):
    """A call, and how far it has come."""

    id: RequestId
    tool: str
    arguments: dict[str, Any]
    meta: dict[str, Any]
    client: Client
    task: asyncio.Task[None] | None = None
    is_cancelled: bool = False
    """By the client, which is not answered then."""
    is_over: bool = False


class PlainCalls:
    """The plain tool calls of one connection, all of them ``caller``'s.

    ``trace_members`` are those of ``_meta`` in which a client says of which trace a call is a part: the SDK reads them.
    """

    def __init__(
        self, server: Server[Any], tool_calls: ToolCalls, caller: Caller, trace_members: frozenset[str]
    ) -> None:
        self._clients = Clients(server)
        self._tool_calls = tool_calls
        self._caller = caller
        self._trace_members = trace_members
        self._running: dict[RequestId, PlainCall] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def read(self, line: bytes) -> PlainCall | None:
        """The call that a line is; None where the SDK is to read it, and to refuse it where it must."""
        if not self._clients.are_met or b'"tools/call"' not in line:
            return None
        return read_plain_call(line, self._trace_members, self._clients.identify)

    def start(self, call: PlainCall, answers: Answers) -> None:
        """Answer a call by and by."""
        self._running[coerce_request_id(call.id)] = call
        call.task = asyncio.create_task(self._answer(call, answers))
        self._tasks.add(call.task)
        call.task.add_done_callback(self._tasks.discard)

    def observe(self, message: mcp.JSONRPCMessage) -> None:
        """Note what goes the SDK's way: what cancels a call, has the id of one, or begins the connection anew."""
        if isinstance(message, mcp.JSONRPCRequest):
            self._running.pop(coerce_request_id(message.id), None)  # a cancellation means the last of those with one id
            if message.method == "initialize":
                self._clients.begin_handshake()
        elif isinstance(message, mcp.JSONRPCNotification) and message.method == "notifications/cancelled":
            request_id = as_request_id((message.params or {}).get("requestId"))
            call = self._running.get(coerce_request_id(request_id)) if request_id is not None else None
            if call is not None and call.task is not None:
                call.is_cancelled = True
                call.task.cancel()

    async def end(self) -> None:
        """Cut off what is under way when the connection has ended; whoever may still listen is told."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSING_SECONDS)

    async def _answer(self, call: PlainCall, answers: Answers) -> None:
        response: Response
        try:
            response = await run_plain_call(call, self._tool_calls, self._caller, answers)
        except asyncio.CancelledError:
            response = mcp.JSONRPCError(jsonrpc="2.0", id=call.id, error=_CLOSED)
        if self._running.get(key := coerce_request_id(call.id)) is call:
            del self._running[key]
        try:
            if not call.is_cancelled:
                await answers.answer(call.id, response)
        except anyio.BrokenResourceError:
            logger.debug("nobody was there to be answered")


def read_plain_call(
    message: bytes, trace_members: frozenset[str], identify: Callable[[dict[str, Any]], Client | None]
) -> PlainCall | None:
    """The call that a message is, of the client that its ``_meta`` identifies; None where the SDK is to read it."""
    try:
        content = from_json(message)
    except ValueError:  # no JSON, or nested too deeply; or half a surrogate pair, which a call may hold
        return None
    if not _is_plain(content):
        return None
    params = content["params"]
    meta = params.get("_meta", _NOTHING)
    client = identify(meta) if trace_members.isdisjoint(meta) else None
    if client is None:
        return None
    return PlainCall(content["id"], params["name"], params.get("arguments", _NOTHING), meta, client)


async def run_plain_call(call: PlainCall, tool_calls: ToolCalls, base: Caller, notices: Notices) -> Response:
    """The response to a call of ``base``; what it tells of its progress goes to ``notices`` before that."""
    client, progress = call.client, _report_progress(call, notices)
    try:
        caller = complete_caller(base, call.id, client.name, client.elicitor, progress)
        result = await tool_calls.call(call.tool, call.arguments, caller, prompt=client.login_prompt)
        return client.envelope.make_response(call.id, result)
    except MCPError as error:  # a link for the client to open
        return mcp.JSONRPCError(jsonrpc="2.0", id=call.id, error=error.error)
    except Exception:
        logger.exception("the result of a call could not be written")
        return mcp.JSONRPCError(jsonrpc="2.0", id=call.id, error=_INVALID)
    finally:
        call.is_over = True


def _is_plain(message: Any) -> bool:
    """Whether a message is a call, and nothing but one; what is missing or too much is for the SDK to judge."""
    return (
        type(message) is dict
        and message.keys() == _MEMBERS
        and message["jsonrpc"] == "2.0"
        and message["method"] == "tools/call"
        and type(message["id"]) in (str, int)  # for ``true`` is an integer, too, and ``null`` no id
        and _has_plain_parameters(message["params"])
    )


def _has_plain_parameters(params: Any) -> bool:
    return (
        type(params) is dict
        and params.keys() <= _PARAMETERS  # no answer to a question, no task, nothing of a later protocol
        and type(params.get("name")) is str
        and type(params.get("arguments", _NOTHING)) is dict  # JSON in a text is mended on the SDK's way
        and type(meta := params.get("_meta", _NOTHING)) is dict
        and type(meta.get(PROGRESS, "")) in (str, int)
    )


def _report_progress(call: PlainCall, notices: Notices) -> Progress | None:
    """Tells how far a call has come; None where the client did not ask for that."""
    if PROGRESS not in call.meta:
        return None

    async def tell(done: float, total: float | None, message: str | None) -> None:
        if call.is_over:
            return
        values = {PROGRESS: call.meta[PROGRESS], "progress": done, "total": total, "message": message}
        params = {name: value for name, value in values.items() if value is not None}
        try:
            notification = mcp.JSONRPCNotification(jsonrpc="2.0", method="notifications/progress", params=params)
            await notices.send(SessionMessage(notification))
        except anyio.BrokenResourceError:  # a client that is gone is no reason to stop
            logger.debug("progress could not be told")

    return tell

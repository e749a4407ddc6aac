"""What a caller is answered who calls too often or too much at once, and what is put on record of it.

A tool call is answered as a tool's result, so that the agent reads how long to wait; anything else by 429. Refusals may
come in a flood: little is read of them, and they are put on record in groups, which their answers wait for.
"""

from __future__ import annotations

from typing import Any

from mcp.server.lowlevel import Server
from mcp_types.version import LATEST_HANDSHAKE_VERSION, SUPPORTED_PROTOCOL_VERSIONS
from starlette.types import Message, Receive, Scope

from orgserver.model.errors import CallError, Throttled
from orgserver.model.orgs import Caller
from orgserver.services.composition import Services
from orgserver.serving.envelopes import Envelope
from orgserver.serving.http.limits import Leave, Limits, Refusal
from orgserver.serving.http.messages.body import Gone, count_values, read_body, read_object
from orgserver.serving.http.replies import Reply, make_error_reply, retry_after
from orgserver.serving.refused_calls import record_early_refusal
from orgserver.tools import results
from orgserver.tools.tool import org_of

MOST_READ = 64 * 1024
"""Bytes of a refused request's body that are read: of a longer one it is not known which tool it calls."""
MOST_VALUES = 2_000
"""In it; of more it is not known, either."""
FREE_BYTES = 4 * 1024
"""A body that is no longer takes nothing more than any request."""
TOKEN_BYTES, TOKEN_VALUES = 32 * 1024, 1_000
"""Of a longer one so much takes a token more of its caller's rate: others wait while it is read."""
_TOO_MANY_REQUESTS = 429
_RATE_LIMITED = -32_000
_WORDS = {
    "rate": "too many calls in a short time",
    "in_flight": "too many calls are under way at once",
}


class Throttling:
    """Admits requests of callers who are known, within their limits."""

    def __init__(self, limits: Limits, services: Services, server: Server[Any]) -> None:
        self._limits = limits
        self._services = services
        self._envelopes = {version: Envelope(server, version) for version in SUPPORTED_PROTOCOL_VERSIONS}

    async def admit(self, caller: Caller, key_id: str | None, scope: Scope, receive: Receive) -> Leave | Reply:
        """Count a request in, or refuse it; the function that comes back counts it out at its end."""
        admitted = self._limits.admit(caller.principal.name, key_id)
        if not isinstance(admitted, Refusal):
            return admitted
        error = _make_error(admitted)
        request = await _read_request(receive) if scope["method"] == "POST" else None
        if request is not None and request.get("method") == "tools/call":
            return await self._refuse_call(caller, request, error, scope)
        return _with_pause(make_error_reply(_TOO_MANY_REQUESTS, f"{error}; {error.hint}", code=_RATE_LIMITED), error)

    async def _refuse_call(self, caller: Caller, request: dict[str, Any], error: Throttled, scope: Scope) -> Reply:
        """A refused tool call's result, once it is on record."""
        params = request.get("params")
        params = params if isinstance(params, dict) else {}
        tool, arguments = params.get("name"), params.get("arguments")
        arguments = arguments if isinstance(arguments, dict) else {}
        answer: CallError = error
        try:
            await record_early_refusal(
                self._services, caller, request.get("id"), tool if isinstance(tool, str) else "", arguments, error
            )
        except CallError as away:
            answer = away
        result = results.failure(answer, org_of(arguments) or None)
        response = self._envelopes[_version_of(scope)].make_response(request["id"], result)
        assert isinstance(response, bytes)  # noqa: S101  # a failure is always spliced
        return _with_pause(Reply(200, response), error)


def meter(receive: Receive, leave: Leave) -> Receive:
    """Receives a request that was admitted, and charges its caller for a long body."""
    size = 0

    async def receive_metered() -> Message:
        nonlocal size
        message = await receive()
        body = message.get("body", b"")
        size += len(body)
        if size > FREE_BYTES:
            leave.charge(len(body) / TOKEN_BYTES + count_values(body) / TOKEN_VALUES)
        return message

    return receive_metered


def _make_error(refusal: Refusal) -> Throttled:
    error = Throttled(
        _WORDS[refusal.limit],
        seconds=refusal.seconds,
        hint=f"wait {refusal.seconds:.1f} seconds before the next call, and make fewer at a time",
    )
    error.rule = f"limit:{refusal.limit}"
    return error


def _with_pause(reply: Reply, error: Throttled) -> Reply:
    return Reply(reply.status, reply.body, reply.content_type, reply.headers + retry_after(error.seconds))


async def _read_request(receive: Receive) -> dict[str, Any] | None:
    """The JSON-RPC request in a body; None where there is none that can be answered, or its client goes away."""
    try:
        body = await read_body(receive, 0, MOST_READ)
    except Gone:
        return None
    request = read_object(body, MOST_VALUES) if isinstance(body, bytes) else {}
    return request if type(request.get("id")) in (int, str) else None


def _version_of(scope: Scope) -> str:
    """The version of the protocol that a request says it speaks."""
    versions = [value for name, value in scope["headers"] if name == b"mcp-protocol-version"]
    version = versions[0].decode("latin-1") if versions else ""
    return version if version in SUPPORTED_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION

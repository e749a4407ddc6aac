"""The server on standard input and output, over an app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orgserver.app import App
from orgserver.model.orgs import Caller
from orgserver.servers.shared import end_by_signals, looking_after_logins, shipping, trace_members_past_sdk

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from orgserver.serving.early.lines import EarlyLines
    from orgserver.serving.plain_calls import PlainCalls
    from orgserver.serving.tool_calls import ToolCalls


async def serve_stdio(app: App, caller: Caller, ready: Callable[[], None], early: EarlyLines | None = None) -> None:
    """Serve MCP on standard input and output, as the caller, until the client goes away or a signal comes.

    ``ready`` is called once everything is made; ``early`` has answered the client until then.
    """
    from orgserver.serving import stdio  # noqa: PLC0415  # as the next
    from orgserver.serving.refused_calls import record_unreadable  # noqa: PLC0415  # as the next
    from orgserver.serving.server import build_server_and_calls  # noqa: PLC0415  # the SDK is slow to import

    server, tool_calls = build_server_and_calls(app.services, lambda _ctx: caller, app.access.scope)

    async def refuse(tool: str | None, request_id: str | int | None) -> None:
        request = None if request_id is None else str(request_id)
        await record_unreadable(app.services, replace(caller, request_id=request), tool)

    ending = end_by_signals(app)
    ready()
    with looking_after_logins(app):
        async with shipping(app):
            await stdio.serve_stdio(server, ending, refuse, _past_sdk(server, tool_calls, caller), early)


def _past_sdk(server: Server[Any], tool_calls: ToolCalls, caller: Caller) -> PlainCalls | None:
    """What answers calls past the SDK, where anything may."""
    from orgserver.serving.plain_calls import PlainCalls  # noqa: PLC0415  # as above

    trace_members = trace_members_past_sdk()
    return None if trace_members is None else PlainCalls(server, tool_calls, caller, trace_members)

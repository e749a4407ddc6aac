"""MCP over standard input and output, on the event loop itself.

The SDK's own ``stdio_server`` hops to a worker thread for each read, write and flush, which is more than half of an
echo call (docs/performance.md); it serves on Windows, whose event loop cannot wait for such pipes.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from orgserver.serving import wire
from orgserver.serving.descriptors import taken_over
from orgserver.serving.early.lines import EarlyLines
from orgserver.serving.plain_calls import PlainCalls
from orgserver.serving.shutdown import Ending


async def serve_stdio(
    server: Server[Any],
    ending: Ending | None = None,
    refused: wire.Refused | None = None,
    plain: PlainCalls | None = None,
    early_lines: EarlyLines | None = None,
) -> None:
    """Serve one client until it leaves, or a signal asks for the end; what it asked before is answered first.

    ``refused`` hears of tool calls that cannot be read. ``plain`` answers calls past the SDK, except on Windows.
    ``early_lines`` is who has answered the client until now.
    """
    if sys.platform == "win32":
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
        return
    taking = taken_over() if early_lines is None else nullcontext(await early_lines.hand_over())
    async with taking as (lines, sink):
        incoming, outgoing = wire.streams(lines, sink, refused, plain)
        listening = asyncio.create_task(_listen(ending, incoming)) if ending is not None else None
        try:
            options = server.create_initialization_options()
            await server.run(incoming, outgoing, options)
            if incoming.begins_anew():
                await server.run(incoming, outgoing, options)
        finally:
            if listening is not None:
                listening.cancel()
            if plain is not None:
                await plain.end()


async def _listen(ending: Ending, incoming: wire.Incoming) -> None:
    await ending.requested.wait()
    incoming.end(ending)

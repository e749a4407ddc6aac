"""A server of its own process for the tests: the serving layer over one tool, ended as ``orgserver serve`` ends."""

import asyncio
import logging
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool

from orgserver.serving.stdio import serve_stdio

logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
_released = asyncio.Event()


async def list_tools(_ctx: Any, _params: Any) -> ListToolsResult:
    return ListToolsResult(tools=[Tool(name="echo", input_schema={"type": "object"})])


async def call_tool(_ctx: Any, params: CallToolRequestParams) -> CallToolResult:
    given = params.arguments or {}
    if params.name == "print":
        print("stray", flush=True)
        subprocess.run(["/bin/sh", "-c", "echo child; cat"], check=False)  # noqa: ASYNC221
    if params.name == "wait":
        print("waiting", file=sys.stderr, flush=True)
        await _released.wait()
    if params.name == "release":
        asyncio.get_running_loop().call_soon(_released.set)
    if params.name == "wait_for_end":
        asyncio.get_running_loop().call_later(0.3, _released.set)
        await _released.wait()
    text = "x" * given["length"] if "length" in given else str(given.get("text", ""))
    return CallToolResult(content=[TextContent(text=text)])


async def main() -> None:
    server = Server[Any]("served", version="1", on_list_tools=list_tools, on_call_tool=call_tool)
    serving = asyncio.create_task(serve_stdio(server))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving
    print("ended cleanly", file=sys.stderr, flush=True)


if "uvloop" in sys.argv:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
else:
    asyncio.run(main())

"""What orgserver is compared with: an echo tool on the bare low-level SDK, with the SDK's own ``stdio_server()``.

With a port it is served by the SDK's own app over HTTP, stateless, and answers with JSON.
"""

import asyncio
import sys
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


async def list_tools(_ctx: ServerRequestContext[Any], _params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[Tool(name="echo", description="Echo a text.", input_schema=SCHEMA)])


async def call_tool(_ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=str((params.arguments or {})["text"]))])


def make_server() -> Server[Any]:
    return Server("echo", on_list_tools=list_tools, on_call_tool=call_tool)


def serve_http(port: int) -> None:
    import uvicorn

    app = make_server().streamable_http_app(stateless_http=True, json_response=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


async def main() -> None:
    server = make_server()
    async with stdio_server() as (read_stream, write_stream):
        await server.run(read_stream, write_stream, server.create_initialization_options())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve_http(int(sys.argv[1]))
    else:
        asyncio.run(main())

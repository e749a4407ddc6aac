"""openai-agents: its MCP client, its function tools, once as they are and once in its strict mode."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agents.mcp import MCPServerStdio
from agents.mcp.util import MCPUtil
from agents.tool_context import ToolContext
from reporting import SERVER, play


async def main() -> None:
    async with MCPServerStdio(params=SERVER, client_session_timeout_seconds=60) as server:
        tools = await server.list_tools()
        listed = {tool.name: tool.inputSchema for tool in tools}
        for name, strict in (("openai-agents", False), ("openai-agents, strict", True)):
            converted = {tool.name: MCPUtil.to_function_tool(tool, server, strict) for tool in tools}

            async def call(tool: str, arguments: dict[str, Any], converted: dict[str, Any] = converted) -> str:
                text = json.dumps(arguments)
                context = ToolContext(context=None, tool_name=tool, tool_call_id="1", tool_arguments=text)
                output = await converted[tool].on_invoke_tool(context, text)
                return output["text"] if isinstance(output, dict) else str(output)

            await play(name, listed, {tool: each.params_json_schema for tool, each in converted.items()}, call)


asyncio.run(main())

"""mcp-use: the tools of its agent (through LangChain and pydantic), and its adapters for OpenAI, Anthropic and Google."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool
from mcp_use import MCPClient
from mcp_use.agents.adapters.anthropic import AnthropicMCPAdapter
from mcp_use.agents.adapters.google import GoogleMCPAdapter
from mcp_use.agents.adapters.langchain_adapter import LangChainAdapter
from mcp_use.agents.adapters.openai import OpenAIMCPAdapter
from reporting import SERVER, play

DIRECT = {
    "mcp-use, OpenAI": (OpenAIMCPAdapter, lambda each: (each["function"]["name"], each["function"]["parameters"])),
    "mcp-use, Anthropic": (AnthropicMCPAdapter, lambda each: (each["name"], each["input_schema"])),
    "mcp-use, Google": (GoogleMCPAdapter, lambda each: (each.name, each.parameters_json_schema)),
}


async def main() -> None:
    client = MCPClient(config={"mcpServers": {"orgserver": SERVER}})
    await client.create_all_sessions()
    try:
        session = client.get_session("orgserver")
        listed = {tool.name: copy.deepcopy(tool.inputSchema) for tool in await session.list_tools()}
        await agents(client, listed)
        for name, (kind, read) in DIRECT.items():
            adapter = kind()
            await adapter.create_tools(client)

            async def call(tool: str, arguments: dict[str, Any], adapter: Any = adapter) -> str:
                result = await adapter.tool_executors[tool](**arguments)
                return result.content[0].text

            await play(name, listed, dict(read(each) for each in adapter.tools), call)
    finally:
        await client.close_all_sessions()


async def agents(client: MCPClient, listed: dict[str, dict[str, Any]]) -> None:
    """What its own agent does: pydantic models made of the schemas check and carry the arguments."""
    adapter = LangChainAdapter()
    await adapter.create_tools(client)
    tools = {tool.name: tool for tool in adapter.tools}

    async def call(tool: str, arguments: dict[str, Any]) -> str:
        return str(await tools[tool].ainvoke(arguments))

    shown = {name: convert_to_openai_tool(tool)["function"]["parameters"] for name, tool in tools.items()}
    await play("mcp-use, its agent", listed, shown, call)


asyncio.run(main())

"""LangChain: langchain-mcp-adapters' tools, converted as langchain-openai, -anthropic and -google-genai send them."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_anthropic.chat_models import convert_to_anthropic_tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_google_genai._function_utils import convert_to_genai_function_declarations
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools
from reporting import SERVER, play


def openai(tools: list[Any], *, strict: bool | None = None) -> dict[str, dict[str, Any]]:
    """As ``ChatOpenAI.bind_tools`` has them."""
    converted = [convert_to_openai_tool(tool, strict=strict)["function"] for tool in tools]
    return {each["name"]: each["parameters"] for each in converted}


def anthropic(tools: list[Any], *, strict: bool | None = None) -> dict[str, dict[str, Any]]:
    """As ``ChatAnthropic.bind_tools`` has them."""
    return {each["name"]: each["input_schema"] for each in (convert_to_anthropic_tool(t, strict=strict) for t in tools)}


def google(tools: list[Any]) -> dict[str, dict[str, Any]]:
    """As ``ChatGoogleGenerativeAI.bind_tools`` has them."""
    (declared,) = convert_to_genai_function_declarations(tools)
    return {
        each.name: each.parameters.model_dump(mode="json", exclude_none=True) for each in declared.function_declarations
    }


async def main() -> None:
    client = MultiServerMCPClient({"orgserver": SERVER | {"transport": "stdio"}})
    async with client.session("orgserver") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        listed = {name: tool.args_schema for name, tool in tools.items()}

        async def call(tool: str, arguments: dict[str, Any]) -> str:
            message = await tools[tool].ainvoke({"name": tool, "args": arguments, "id": "1", "type": "tool_call"})
            return message.text if isinstance(message.text, str) else message.text()

        every = list(tools.values())
        await play("langchain, OpenAI", listed, openai(every), call)
        await play("langchain, OpenAI, strict", listed, openai(every, strict=True), call)
        await play("langchain, Anthropic", listed, anthropic(every), call)
        await play("langchain, Anthropic, strict", listed, anthropic(every, strict=True), call)
        await play("langchain, Google", listed, google(every), call, keyless="listed")


asyncio.run(main())

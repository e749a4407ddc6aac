"""pydantic-ai: an agent's whole run with the schemas of three providers; a function stands for the model."""

from __future__ import annotations

import asyncio
from typing import Any

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from reporting import SERVER, play

MODELS = {
    "pydantic-ai, OpenAI": (OpenAIProvider, "gpt-5"),
    "pydantic-ai, Anthropic": (AnthropicProvider, "claude-sonnet-4-6"),
    "pydantic-ai, Google": (GoogleProvider, "gemini-3-pro-preview"),
}


class Model:
    """Stands for a model: it looks at its tools, or calls the one that it is told."""

    def __init__(self) -> None:
        self.shown: dict[str, dict[str, Any]] = {}
        self.next: tuple[str, dict[str, Any]] | None = None

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.shown = {tool.name: tool.parameters_json_schema for tool in info.function_tools}
        call, self.next = self.next, None
        return ModelResponse(parts=[ToolCallPart(*call) if call else TextPart("done")])


async def main() -> None:
    toolset = MCPToolset(StdioTransport(**SERVER), max_retries=0, tool_error_behavior="error", init_timeout=60)
    async with toolset:
        listed = {tool.name: tool.inputSchema for tool in await toolset.list_tools()}
        for name, (provider, model_name) in MODELS.items():
            model = Model()
            agent = Agent(
                FunctionModel(model, profile=provider.model_profile(model_name)), toolsets=[toolset], retries=0
            )
            await agent.run("what can you do?")

            async def call(tool: str, arguments: dict[str, Any], agent: Any = agent, model: Model = model) -> str:
                model.next = (tool, arguments)
                ran = await agent.run("do it")
                parts = [part for message in ran.all_messages() for part in message.parts]
                (returned,) = [part for part in parts if isinstance(part, ToolReturnPart)]
                return returned.model_response_str()

            await play(name, listed, dict(model.shown), call)


asyncio.run(main())

"""orgserver's own MCP server with the suite's tools, prompts and resources beside its own.

What the suite brings is answered in front of the product's handlers; everything else, from the middleware to what is
said of a resource that does not exist, is the product's.
"""

from __future__ import annotations

from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp_types import (
    CallToolRequestParams,
    EmptyResult,
    GetPromptRequestParams,
    PaginatedRequestParams,
    Prompt,
    ReadResourceRequestParams,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    Tool,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel

from .prompts_and_resources import TEMPLATE, describe_prompts, describe_resources, fill_prompt, read_resource
from .questions import PROMPT, Answer, Context
from .tools import describe_tool, make_tools


def add_suite(server: Server[Any]) -> None:
    """Give a server of ours everything that the suite wants to find."""
    bus = InMemorySubscriptionBus()
    tools = make_tools(bus)
    described = {name: Tool.model_validate(describe_tool(name)) for name in tools}
    _lengthen(server, "tools/list", "tools", list(described.values()))
    find_schema = server.get_tool_input_schema
    assert find_schema is not None
    server.get_tool_input_schema = lambda name: described[name].input_schema if name in described else find_schema(name)
    _lengthen(server, "prompts/list", "prompts", [Prompt.model_validate(each) for each in describe_prompts()])
    _lengthen(server, "resources/list", "resources", [Resource.model_validate(each) for each in describe_resources()])
    templates = [ResourceTemplate.model_validate(TEMPLATE)]
    _lengthen(server, "resources/templates/list", "resource_templates", templates)
    call, get, read = (_handler(server, method) for method in ("tools/call", "prompts/get", "resources/read"))

    async def call_tool(ctx: Context, params: CallToolRequestParams) -> Any:
        return await tools.get(params.name, call)(ctx, params)

    async def get_prompt(ctx: Context, params: GetPromptRequestParams) -> Any:
        if params.name == PROMPT.name:
            return await PROMPT.answer(ctx, params)
        return fill_prompt(params.name, params.arguments or {}) or await get(ctx, params)

    async def read_address(ctx: Context, params: ReadResourceRequestParams) -> Any:
        return read_resource(str(params.uri)) or await read(ctx, params)

    server.add_request_handler("tools/call", CallToolRequestParams, call_tool)
    server.add_request_handler("prompts/get", GetPromptRequestParams, get_prompt)
    server.add_request_handler("resources/read", ReadResourceRequestParams, read_address)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, _accept)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, _accept)
    server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, ListenHandler(bus))


def _handler(server: Server[Any], method: str) -> Answer:
    entry = server.get_request_handler(method)
    if entry is None:
        raise LookupError(f"orgserver does not answer {method}")
    handler: Any = entry.handler
    return handler  # type: ignore[no-any-return]  # the SDK keeps it without the type of its parameters


def _lengthen(server: Server[Any], method: str, field: str, additions: list[Any]) -> None:
    """Add to what a list has."""
    product = _handler(server, method)

    async def list_all(ctx: Context, params: PaginatedRequestParams) -> BaseModel:
        listed: Any = await product(ctx, params)
        extended: BaseModel = listed.model_copy(update={field: [*getattr(listed, field), *additions]})
        return extended

    server.add_request_handler(method, PaginatedRequestParams, list_all)


async def _accept(_ctx: Context, _params: Any) -> EmptyResult:
    return EmptyResult()

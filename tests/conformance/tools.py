"""The suite's tools: what it calls them, which arguments they take, and what they do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from mcp.server.context import HandlerResult
from mcp.server.subscriptions import PromptsListChanged, ServerEvent, SubscriptionBus, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY, CallToolRequestParams, CallToolResult, SamplingMessage

from . import questions
from .content import make_audio, make_image, make_resource, make_result, make_text
from .questions import Answer, Context

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DELAY = 0.05


def _fixed(*content: dict[str, Any], is_error: bool = False) -> Answer:
    async def answer(_ctx: Context, _params: CallToolRequestParams) -> CallToolResult:
        return make_result(*content, is_error=is_error)

    return answer


async def _log(ctx: Context, _params: CallToolRequestParams) -> CallToolResult:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", text, related_request_id=ctx.request_id)
        await asyncio.sleep(_DELAY)
    return make_result(make_text("logged"))


async def _progress(ctx: Context, _params: CallToolRequestParams) -> CallToolResult:
    for percent in (0, 50, 100):
        await ctx.session.report_progress(percent, 100)
        await asyncio.sleep(_DELAY)
    return make_result(make_text("done"))


async def _sample(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    text = (params.arguments or {})["prompt"]
    message = SamplingMessage.model_validate({"role": "user", "content": make_text(text)})
    reply = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return make_result(make_text(f"LLM response: {getattr(reply.content, 'text', '')}"))


def _eliciting(words: str, properties: dict[str, Any], *required: str) -> Answer:
    async def answer(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        schema = {"type": "object", "properties": properties, "required": list(required)}
        message = (params.arguments or {}).get("message", "Please answer")
        reply = await ctx.session.elicit_form(message, schema, ctx.request_id)
        return make_result(make_text(f"{words}: action={reply.action}, content={json.dumps(reply.content or {})}"))

    return answer


async def _require_sampling(ctx: Context, _params: CallToolRequestParams) -> CallToolResult:
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs a client that can sample", needed)
    return make_result(make_text("the client can sample"))


async def _ask_on_a_stream(ctx: Context, params: CallToolRequestParams) -> HandlerResult:
    await ctx.session.report_progress(50, 100)
    return await questions.STREAMING.answer(ctx, params)


def _publishing(bus: SubscriptionBus, event: ServerEvent) -> Answer:
    async def answer(_ctx: Context, _params: CallToolRequestParams) -> CallToolResult:
        await bus.publish(event)
        return make_result(make_text("changed"))

    return answer


async def _close_the_stream(ctx: Context, _params: CallToolRequestParams) -> CallToolResult:
    if ctx.close_sse_stream is not None:  # only where events are stored to be sent again
        await ctx.close_sse_stream()
    return make_result(make_text("closed and gone on"))


def _titled(prefix: str, noun: str) -> list[dict[str, str]]:
    return [{"const": f"{prefix}{i}", "title": f"{word} {noun}"} for i, word in enumerate(("First", "Second"), 1)]


_OPTIONS = ["option1", "option2", "option3"]
_USER = {
    "username": {"type": "string", "description": "User's response"},
    "email": {"type": "string", "description": "User's email address"},
}
_DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
_ENUMS = {
    "untitledSingle": {"type": "string", "enum": _OPTIONS},
    "titledSingle": {"type": "string", "oneOf": _titled("value", "Option")},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
    "titledMulti": {"type": "array", "items": {"anyOf": _titled("value", "Choice")}},
}
_MIXED = make_resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
_EMBEDDED = make_resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")
_SCHEMAS: dict[str, dict[str, Any]] = {
    "test_sampling": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
    "test_elicitation": {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
    "test_custom_header": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    },
    "json_schema_2020_12_tool": {
        "$schema": _DRAFT,
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
}


def make_tools(bus: SubscriptionBus) -> dict[str, Answer]:
    """Every tool by its name; what some of them change is published on the bus."""
    return {
        "test_simple_text": _fixed(make_text("This is a simple text response for testing.")),
        "test_image_content": _fixed(make_image()),
        "test_audio_content": _fixed(make_audio()),
        "test_embedded_resource": _fixed(_EMBEDDED),
        "test_multiple_content_types": _fixed(make_text("Multiple content types test:"), make_image(), _MIXED),
        "test_error_handling": _fixed(make_text("This tool intentionally returns an error for testing"), is_error=True),
        "test_tool_with_logging": _log,
        "test_logging_tool": _log,
        "test_tool_with_progress": _progress,
        "test_sampling": _sample,
        "test_elicitation": _eliciting("User response", _USER, "username", "email"),
        "test_elicitation_sep1034_defaults": _eliciting("Elicitation completed", _DEFAULTS),
        "test_elicitation_sep1330_enums": _eliciting("Elicitation completed", _ENUMS),
        "json_schema_2020_12_tool": _fixed(make_text("ok")),
        "test_missing_capability": _require_sampling,
        "test_streaming_elicitation": _ask_on_a_stream,
        "test_reconnection": _close_the_stream,
        "test_custom_header": _fixed(make_text("ok")),
        "test_trigger_tool_change": _publishing(bus, ToolsListChanged()),
        "test_trigger_prompt_change": _publishing(bus, PromptsListChanged()),
        **{name: dialogue.answer for name, dialogue in questions.TOOLS.items()},
    }


def describe_tool(name: str) -> dict[str, Any]:
    """How a tool is listed."""
    schema = _SCHEMAS.get(name, {"type": "object", "properties": {}})
    return {"name": name, "description": f"{name}, for the suite", "inputSchema": schema}

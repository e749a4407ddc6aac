"""A server with the tools, prompts and resources that the conformance suite wants to find, for its other scenarios."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    EmptyResult,
    GetPromptRequestParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

Context = ServerRequestContext[Any]
Play = Callable[[Context, dict[str, Any]], Awaitable[CallToolResult]]
_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
_DELAY = 0.05


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


_PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00"))
    + _chunk(b"IEND", b"")
).decode()
_WAV = base64.b64encode(
    b"RIFF" + struct.pack("<I", 38) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    + b"data" + struct.pack("<I", 2) + b"\x80\x80"
).decode()  # fmt: skip


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image() -> dict[str, Any]:
    return {"type": "image", "data": _PNG, "mimeType": "image/png"}


def _resource(uri: str, mime_type: str, text: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": text}}


def _result(*content: dict[str, Any], error: bool = False) -> CallToolResult:
    return CallToolResult.model_validate({"content": list(content), "isError": error})


def _fixed(*content: dict[str, Any], error: bool = False) -> Play:
    async def play(_ctx: Context, _given: dict[str, Any]) -> CallToolResult:
        return _result(*content, error=error)

    return play


async def _logging(ctx: Context, _given: dict[str, Any]) -> CallToolResult:
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", said, related_request_id=ctx.request_id)
        await asyncio.sleep(_DELAY)
    return _result(_text("logged"))


async def _progress(ctx: Context, _given: dict[str, Any]) -> CallToolResult:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
        await asyncio.sleep(_DELAY)
    return _result(_text("done"))


async def _sampling(ctx: Context, given: dict[str, Any]) -> CallToolResult:
    message = {"role": "user", "content": _text(given["prompt"])}
    from mcp_types import SamplingMessage

    told = await ctx.session.create_message(
        [SamplingMessage.model_validate(message)], max_tokens=100, related_request_id=ctx.request_id
    )
    return _result(_text(f"LLM response: {getattr(told.content, 'text', '')}"))


def _eliciting(words: str, properties: dict[str, Any], *required: str) -> Play:
    async def play(ctx: Context, given: dict[str, Any]) -> CallToolResult:
        schema = {"type": "object", "properties": properties, "required": list(required)}
        told = await ctx.session.elicit_form(given.get("message", "Please answer"), schema, ctx.request_id)
        return _result(_text(f"{words}: action={told.action}, content={json.dumps(told.content or {})}"))

    return play


def _titled(prefix: str, noun: str) -> list[dict[str, str]]:
    return [{"const": f"{prefix}{i}", "title": f"{word} {noun}"} for i, word in enumerate(("First", "Second"), 1)]


_OPTIONS = ["option1", "option2", "option3"]
_ASKED = {
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
_MIXED = _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
_TOOLS: dict[str, Play] = {
    "test_simple_text": _fixed(_text("This is a simple text response for testing.")),
    "test_image_content": _fixed(_image()),
    "test_audio_content": _fixed({"type": "audio", "data": _WAV, "mimeType": "audio/wav"}),
    "test_embedded_resource": _fixed(
        _resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ),
    "test_multiple_content_types": _fixed(_text("Multiple content types test:"), _image(), _MIXED),
    "test_tool_with_logging": _logging,
    "test_error_handling": _fixed(_text("This tool intentionally returns an error for testing"), error=True),
    "test_tool_with_progress": _progress,
    "test_sampling": _sampling,
    "test_elicitation": _eliciting("User response", _ASKED, "username", "email"),
    "test_elicitation_sep1034_defaults": _eliciting("Elicitation completed", _DEFAULTS),
    "test_elicitation_sep1330_enums": _eliciting("Elicitation completed", _ENUMS),
    "json_schema_2020_12_tool": _fixed(_text("ok")),
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "test_sampling": {"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]},
    "test_elicitation": {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
    "json_schema_2020_12_tool": {
        "$schema": _SCHEMA,
        "type": "object",
        "$defs": {
            "address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}
        },
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": False,
    },
}
_PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
}


async def _list_tools(_ctx: Context, _params: PaginatedRequestParams) -> dict[str, Any]:
    empty = {"type": "object", "properties": {}}
    return {
        "tools": [
            {"name": name, "description": f"{name}, for the suite", "inputSchema": _SCHEMAS.get(name, empty)}
            for name in _TOOLS
        ]
    }


async def _call_tool(ctx: Context, params: CallToolRequestParams) -> CallToolResult:
    return await _TOOLS[params.name](ctx, params.arguments or {})


async def _list_prompts(_ctx: Context, _params: PaginatedRequestParams) -> dict[str, Any]:
    return {
        "prompts": [
            {
                "name": name,
                "description": f"{name}, for the suite",
                "arguments": [{"name": each, "description": each, "required": True} for each in arguments],
            }
            for name, arguments in _PROMPTS.items()
        ]
    }


async def _get_prompt(_ctx: Context, params: GetPromptRequestParams) -> dict[str, Any]:
    given = params.arguments or {}
    content: list[dict[str, Any]] = {
        "test_simple_prompt": lambda: [_text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments": lambda: [
            _text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")
        ],
        "test_prompt_with_embedded_resource": lambda: [
            _resource(given["resourceUri"], "text/plain", "Embedded resource content for testing."),
            _text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image": lambda: [_image(), _text("Please analyze the image above.")],
    }[params.name]()
    return {"messages": [{"role": "user", "content": each} for each in content]}


async def _list_resources(_ctx: Context, _params: PaginatedRequestParams) -> dict[str, Any]:
    found = {"static-text": "text/plain", "static-binary": "image/png", "watched-resource": "text/plain"}
    return {
        "resources": [
            {"uri": f"test://{name}", "name": name, "description": name, "mimeType": kind}
            for name, kind in found.items()
        ]
    }


async def _list_templates(_ctx: Context, _params: PaginatedRequestParams) -> dict[str, Any]:
    return {"resourceTemplates": [{"uriTemplate": "test://template/{id}/data", "name": "template"}]}


async def _read_resource(_ctx: Context, params: ReadResourceRequestParams) -> dict[str, Any]:
    uri = str(params.uri)
    if uri == "test://static-binary":
        return {"contents": [{"uri": uri, "mimeType": "image/png", "blob": _PNG}]}
    if uri.startswith("test://template/"):
        number = uri.split("/")[3]
        told = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"})
        return {"contents": [{"uri": uri, "mimeType": "application/json", "text": told}]}
    text = "This is the content of the static text resource."
    return {"contents": [{"uri": uri, "mimeType": "text/plain", "text": text}]}


async def _complete(_ctx: Context, _params: CompleteRequestParams) -> dict[str, Any]:
    return {"completion": {"values": [], "total": 0, "hasMore": False}}


async def _nothing(_ctx: Context, _params: Any) -> EmptyResult:
    return EmptyResult()


def suite_server() -> Server[Any]:
    """The server."""
    server = Server[Any]("orgserver-conformance", version="1")
    server.add_request_handler("tools/list", PaginatedRequestParams, _list_tools)
    server.add_request_handler("tools/call", CallToolRequestParams, _call_tool)
    server.add_request_handler("prompts/list", PaginatedRequestParams, _list_prompts)
    server.add_request_handler("prompts/get", GetPromptRequestParams, _get_prompt)
    server.add_request_handler("resources/list", PaginatedRequestParams, _list_resources)
    server.add_request_handler("resources/templates/list", PaginatedRequestParams, _list_templates)
    server.add_request_handler("resources/read", ReadResourceRequestParams, _read_resource)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, _nothing)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, _nothing)
    server.add_request_handler("completion/complete", CompleteRequestParams, _complete)
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, _nothing)
    return server

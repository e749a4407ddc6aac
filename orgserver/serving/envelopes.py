"""The JSON-RPC line around a tool's result, as the SDK writes it in one version of the protocol.

The SDK is asked once what it makes of a result whose values are marks; each later answer is spliced in at the marks.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from mcp.server.lowlevel import Server
from mcp_types import SERVER_INFO_META_KEY, JSONRPCError, JSONRPCResponse, methods
from mcp_types.jsonrpc import RequestId
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic_core import to_json

_encode = msgspec.json.Encoder().encode
"""Writes texts and whole numbers as the SDK does, in less time."""
_ID, _TEXT, _STRUCTURE = "<id>", "<text>", {"<structure>": 0}
_MARKS = re.compile(b"|".join(re.escape(to_json(mark)) for mark in (_ID, _TEXT, _STRUCTURE)))


Response = bytes | JSONRPCResponse | JSONRPCError
"""As the line that it is, or as the SDK has it."""


class Envelope:
    """Makes the responses to tool calls."""

    def __init__(self, server: Server[Any], version: str) -> None:
        self._server = server
        self._version = version
        content = [{"type": "text", "text": _TEXT}]
        self._success = self._split({"content": content, "structuredContent": _STRUCTURE, "resultType": "complete"})
        self._failure = self._split({"content": content, "isError": True, "resultType": "complete"})

    def make_response(self, request_id: RequestId, result: dict[str, Any]) -> Response:
        """The response with a result: spliced where it is a success or a failure, for its text is its structure."""
        if "isError" in result:
            text = result["content"][0]["text"]
            before, content, after = self._failure
            return b"".join((before, _encode(request_id), content, _encode(text), after))
        text = result["content"][0]["text"] if "structuredContent" in result else None
        if text is None or "NaN" in text or "Infinity" in text:
            # A question to a person; or a number that is none, which the text has and the SDK writes as null.
            return self._shape(request_id, result)
        before, content, structure, after = self._success
        return b"".join((before, _encode(request_id), content, _encode(text), structure, text.encode(), after))

    def _shape(self, request_id: RequestId, result: dict[str, Any]) -> JSONRPCResponse:
        """The response as the SDK makes it: shaped for the version, and signed by the server from 2026-07-28 on."""
        shaped = methods.serialize_server_result("tools/call", self._version, result)
        if self._version in MODERN_PROTOCOL_VERSIONS:
            shaped["_meta"] = {SERVER_INFO_META_KEY: self._server.server_info_stamp}
        return JSONRPCResponse(jsonrpc="2.0", id=request_id, result=shaped)

    def _split(self, result: dict[str, Any]) -> list[bytes]:
        return _MARKS.split(self._shape(_ID, result).model_dump_json(by_alias=True, exclude_unset=True).encode())

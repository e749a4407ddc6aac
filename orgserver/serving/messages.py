"""A line of JSON-RPC as the SDK's message, or why it is none: what the strict reader refuses is read once more.

A request must be answered with its id however bad its line is, and for the SDK one whose id is no id is a notification.
"""

from __future__ import annotations

import json
from typing import Any

from mcp_types import INVALID_REQUEST, PARSE_ERROR, JSONRPCMessage, JSONRPCNotification, jsonrpc_message_adapter
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json

from orgserver.model.json_text import is_deeper
from orgserver.model.names import encodable
from orgserver.serving.fragments import Fragment, read_fragment

MAX_DEPTH = 200
"""How deep a message may be nested: no argument of a tool comes near it."""


class Unreadable(Exception):
    """A line is no message that can be handled: what is answered, and what is known of the request."""

    def __init__(self, code: int, why: str, request: Fragment) -> None:
        super().__init__(why)
        self.code = code
        self.request = request


def read_message(line: bytes) -> JSONRPCMessage:
    """Read one line; Unreadable says why it is no message, and whose it was; never what it held."""
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        return _reread(line)
    if isinstance(message, JSONRPCNotification) and (b'"id"' in line or b"\\u" in line):
        _check_id(from_json(line))  # for the SDK, a request whose id is none is a notification, and is not answered
    return message


def encode_message(message: JSONRPCMessage) -> bytes:
    """A message of ours as JSON."""
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode()
    except (PydanticSerializationError, UnicodeEncodeError):  # half a surrogate pair that a client sent comes back
        return json.dumps(message.model_dump(by_alias=True, exclude_unset=True)).encode()


def _reread(line: bytes) -> JSONRPCMessage:
    """Read a line that the strict reader refuses: a call may hold half a surrogate pair and must be answered as one."""
    try:
        content = json.loads(line)
        too_deep = is_deeper(content, MAX_DEPTH)
    except RecursionError:
        content, too_deep = None, True
    except ValueError:
        raise Unreadable(PARSE_ERROR, "this is not JSON", read_fragment(line)) from None
    if too_deep:
        raise Unreadable(PARSE_ERROR, "this is nested too deeply", read_fragment(line))
    if isinstance(content, list):
        raise Unreadable(INVALID_REQUEST, "batches are not part of MCP; send one message at a time", Fragment())
    if not isinstance(content, dict) or "result" in content or "error" in content:
        raise Unreadable(INVALID_REQUEST, "this is not a JSON-RPC message", Fragment())
    _check_id(content)
    try:
        return jsonrpc_message_adapter.validate_python(content, by_name=False)
    except ValidationError:
        why = "this is not a JSON-RPC 2.0 request"
        raise Unreadable(INVALID_REQUEST, why, _fragment(content)) from None


def _check_id(content: dict[str, Any]) -> None:
    """An id is a text or an integer (JSON-RPC 2.0, section 4; null is none in MCP), and can be written back."""
    request_id = content.get("id")
    if isinstance(request_id, str) and not encodable(request_id):
        raise Unreadable(INVALID_REQUEST, "the id holds half a surrogate pair", _fragment(content))
    if "id" in content and (isinstance(request_id, bool) or not isinstance(request_id, str | int)):
        raise Unreadable(INVALID_REQUEST, "the id of a request is a text or an integer", _fragment(content))


def _fragment(content: dict[str, Any]) -> Fragment:
    request_id, method, params = content.get("id"), content.get("method"), content.get("params")
    tool = params.get("name") if isinstance(params, dict) else None
    known = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    return Fragment(
        request_id if known else None,
        method if isinstance(method, str) else None,
        tool if isinstance(tool, str) else None,
    )

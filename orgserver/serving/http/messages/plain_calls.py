"""Tool calls over HTTP that need nothing of the SDK: those whose headers say what their bodies say.

From 2026-07-28 on a request mirrors its method, its tool and its org in headers, for gateways to route by. Whatever
does not agree is for the SDK to refuse.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from mcp.server.lowlevel import Server
from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_NAME_HEADER, MCP_PARAM_HEADER_PREFIX, decode_header_value

from orgserver.serving.clients import StatelessClients
from orgserver.serving.http.messages.headers import Headers
from orgserver.serving.plain_calls import PlainCall, read_plain_call
from orgserver.serving.server import ORG_HEADER
from orgserver.serving.tool_calls import ToolCalls

_METHOD, _NAME = MCP_METHOD_HEADER.encode(), MCP_NAME_HEADER.encode()
_ORG = f"{MCP_PARAM_HEADER_PREFIX}{ORG_HEADER}".lower().encode()


class PlainPosts:
    """Reads the calls that go past the SDK.

    ``trace_members`` are those of ``_meta`` in which a client says of which trace a call is a part: the SDK reads them.
    """

    def __init__(self, server: Server[Any], tool_calls: ToolCalls, trace_members: frozenset[str]) -> None:
        self._clients = StatelessClients(server)
        self._find_schema = server.get_tool_input_schema
        self._tool_calls = tool_calls
        self._trace_members = trace_members

    def read(self, headers: Headers, body: bytes) -> PlainCall | None:
        """The call that a request is; None where the SDK is to read it, and to refuse it where it must."""
        if headers.has_duplicates or b'"tools/call"' not in body:
            return None
        identify = partial(self._clients.identify, headers.version, headers.session_id)
        call = read_plain_call(body, self._trace_members, identify)
        if call is None or call.tool not in self._tool_calls:  # the server may have been given other tools than ours
            return None
        return None if headers.is_modern and not self._is_mirrored(call, headers.values) else call

    def _is_mirrored(self, call: PlainCall, headers: dict[bytes, bytes]) -> bool:
        return (
            headers.get(_METHOD) == b"tools/call"
            and _decode(headers.get(_NAME)) == call.tool
            and self._is_org_mirrored(call, headers.get(_ORG))
        )

    def _is_org_mirrored(self, call: PlainCall, header: bytes | None) -> bool:
        if self._find_schema is None or self._find_schema(call.tool) is None:
            return True
        org = call.arguments.get("org")
        return org is None if header is None else type(org) is str and _decode(header) == org


def _decode(value: bytes | None) -> str | None:
    return decode_header_value(value.decode("latin-1")) if value is not None else None

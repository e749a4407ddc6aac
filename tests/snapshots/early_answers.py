"""What the SDK answers to a client's first requests, as ``serving/early/answers.json`` keeps it."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

import orgserver
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Scope
from orgserver.serving import prompts, resources, wire
from orgserver.serving.early.answers import FILE
from orgserver.serving.server import build_server
from orgserver.tools.toolsets import DEFAULT, EVERY, TOOLSETS

PATH = FILE
META = "io.modelcontextprotocol/"


def request(number: int | str, method: str, **params: Any) -> bytes:
    """A request's line."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


def initialize(number: int | str, version: str) -> bytes:
    """A handshake."""
    client = {"name": "client", "version": "1"}
    return request(number, "initialize", protocolVersion=version, capabilities={}, clientInfo=client)


def envelope(version: str = MODERN_PROTOCOL_VERSIONS[-1], **more: Any) -> dict[str, Any]:
    """The parameters that each request has from 2026-07-28 on."""
    client = {"name": "client", "version": "1"}
    return {
        "_meta": {
            f"{META}protocolVersion": version,
            f"{META}clientInfo": client,
            f"{META}clientCapabilities": {},
            **more,
        }
    }


class _Recorded:
    """Lines that are there, and a sink that keeps what is written."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self.written: list[bytes] = []

    async def line(self) -> bytes:
        return next(self._lines, b"")

    def end(self) -> None:
        self._lines = iter(())

    async def write(self, data: bytes) -> None:
        self.written.append(data)


async def answers_of_sdk(scope: Scope, lines: Sequence[bytes]) -> list[bytes]:
    """What the SDK's server of a scope writes to a client that has written these lines."""
    server = build_server(cast("Any", None), principal=Principal("test"), scope=scope)
    recorded = _Recorded(lines)
    incoming, outgoing = wire.streams(recorded, recorded)
    await server.run(incoming, outgoing, server.create_initialization_options())
    if incoming.begins_anew():
        await server.run(incoming, outgoing, server.create_initialization_options())
    return recorded.written


async def text() -> str:
    """What the file is to hold."""
    every = Scope(toolsets=frozenset({"all"}))
    handshake = await answers_of_sdk(every, [initialize(1, HANDSHAKE_PROTOCOL_VERSIONS[-1]), request(2, "tools/list")])
    modern = await answers_of_sdk(
        every, [request(1, "server/discover", **envelope()), request(2, "tools/list", **envelope())]
    )
    needs = {
        "prompts": [sorted(job.needs) for job in prompts.JOBS],
        "resources": [[name] for name, spec in EVERY.items() if resources.templates({name: spec})],
    }
    content = {
        "orgserver": orgserver.__version__,
        "mcp": importlib.metadata.version("mcp"),
        "toolsets": {name: [spec.name for spec in specs] for name, specs in TOOLSETS.items()},
        "default": list(DEFAULT),
        "writes": [name for name, spec in EVERY.items() if spec.writes],
        "needs": needs,
        "handshake": _generation(HANDSHAKE_PROTOCOL_VERSIONS, "initialize", handshake),
        "modern": _generation(MODERN_PROTOCOL_VERSIONS, "discover", modern),
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _generation(versions: Sequence[str], name: str, lines: Sequence[bytes]) -> dict[str, Any]:
    first, listed = sorted((json.loads(line) for line in lines), key=lambda response: int(response["id"]))
    tools = {tool["name"]: tool for tool in listed["result"]["tools"]}
    return {
        "versions": list(versions),
        name: first["result"],
        "list": listed["result"] | {"tools": []},
        "tools": tools,
    }

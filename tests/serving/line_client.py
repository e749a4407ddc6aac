"""The SDK's own client over lines, as over standard streams but in this process: its calls go past the server's SDK."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.client import Client
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from orgserver.app import App
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller, Scope
from orgserver.serving import wire
from orgserver.serving.plain_calls import PlainCalls
from orgserver.serving.server import build_server_and_calls

from .both_ways import TRACE, Counting


class _Lines:
    """Both directions, as the server reads and writes them."""

    def __init__(self, answers: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        self.written: asyncio.Queue[bytes] = asyncio.Queue()
        self._answers = answers

    async def line(self) -> bytes:
        return await self.written.get()

    def end(self) -> None:
        self.written.put_nowait(b"")

    async def write(self, data: bytes) -> None:
        try:
            await self._answers.send(SessionMessage(jsonrpc_message_adapter.validate_json(data, by_name=False)))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise BrokenPipeError from None

    async def send(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write what the client sends, until it leaves."""
        async with messages:
            async for each in messages:
                line = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                self.written.put_nowait(line.encode() + b"\n")
        self.end()


@asynccontextmanager
async def _serving(server: Any, plain: PlainCalls) -> AsyncIterator[Any]:
    answers, client_reads = anyio.create_memory_object_stream[SessionMessage | Exception](1_000)
    client_writes, messages = anyio.create_memory_object_stream[SessionMessage](1_000)
    lines = _Lines(answers)
    incoming, outgoing = wire.streams(lines, lines, None, plain)
    sending = asyncio.create_task(lines.send(messages))
    running = asyncio.create_task(server.run(incoming, outgoing, server.create_initialization_options()))
    try:
        yield client_reads, client_writes
    finally:
        client_writes.close()
        client_reads.close()
        await asyncio.wait([sending, running])
        await plain.end()
        answers.close()


@asynccontextmanager
async def client_past_sdk(
    app: App, principal: str, *, label: str | None = None, scope: Scope | None = None, **options: Any
) -> AsyncIterator[Client]:
    """A client of the app's server, whose calls go past the SDK."""
    caller = Caller(Principal(principal), "stdio", label=label)
    server, tool_calls = build_server_and_calls(app.services, lambda _ctx: caller, scope or Scope())
    plain = Counting(server, tool_calls, caller, TRACE)
    async with Client(_serving(server, plain), **options) as client:
        await client.list_tools()  # the SDK's part in getting to know each other is over then
        yield client
    assert plain.count > 0

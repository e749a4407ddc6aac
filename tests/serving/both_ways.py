"""One connection whose calls go past the SDK, and one whose calls all go its way, over the same pretend operations."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller, Scope
from orgserver.services.calls.plan import Call
from orgserver.serving import wire
from orgserver.serving.plain_calls import PlainCall, PlainCalls
from orgserver.serving.server import build_server_and_calls
from tests.tools.conftest import PretendOperations

LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
VERSIONS = (*LEGACY, MODERN)
FORM = {"elicitation": {"form": {}}}
QUIET_TURNS = 60
"""Of the event loop, in which nothing is written any more."""
TRACE = frozenset({"traceparent", "tracestate"})


def envelope(capabilities: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """What a request of the newest protocol says of its client."""
    return {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
        **more,
    }


def line_of(method: str, params: dict[str, Any], request_id: Any = 7) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode() + b"\n"


def call_of(version: str, tool: str, request_id: Any = 7, capabilities: Any = None, **arguments: Any) -> bytes:
    params: dict[str, Any] = {"name": tool, "arguments": arguments}
    if version == MODERN:
        params["_meta"] = envelope(capabilities)
    return line_of("tools/call", params, request_id)


class Operations(PretendOperations):
    """Operations that tell how far they have come, and may ask a person or wait."""

    def __init__(self) -> None:
        super().__init__()
        self.asks = False
        self.blocked: asyncio.Event | None = None
        self.began = asyncio.Event()
        self.cut_off: list[asyncio.Task[None]] = []

    async def run(self, call: Call, operation: Any) -> Any:
        self.began.set()
        await call.caller.tell(1, None, "begun")
        await call.caller.tell(1.5, 3, "half \u2028 way")
        if self.blocked is not None:
            try:
                await self.blocked.wait()
            except asyncio.CancelledError:
                self.cut_off.append(asyncio.create_task(self._go_on(call)))
                raise
        answer = await super().run(call, operation)
        if self.asks and call.caller.elicitor is not None:
            self.record = {"Id": str(await call.caller.elicitor.ask("Really?", "sealed"))}
        return answer

    async def _go_on(self, call: Call) -> None:
        """What is sent is not called back when the caller goes away."""
        for _ in range(10):
            await asyncio.sleep(0)
        await call.caller.tell(2, 3, "nobody hears that")


class Counting(PlainCalls):
    """Counts the calls that go past the SDK."""

    count = 0

    def read(self, line: bytes) -> PlainCall | None:
        call = super().read(line)
        self.count += call is not None
        return call


@dataclass
class Connection:
    """Lines that a client writes, and those that it gets."""

    operations: Operations
    plain: PlainCalls | None
    written: list[bytes] = field(default_factory=list)
    lines: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    is_gone: bool = False
    serving: asyncio.Task[None] | None = None

    async def line(self) -> bytes:
        return await self.lines.get()

    def end(self) -> None:
        self.lines.put_nowait(b"")

    async def write(self, data: bytes) -> None:
        if self.is_gone:
            raise BrokenPipeError
        self.written.append(data)

    async def say(self, *lines: bytes) -> list[bytes]:
        """Write lines, and give what comes back until nothing comes any more."""
        for each in lines:
            self.lines.put_nowait(each)
        length = quiet = 0
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if length == len(self.written) else 0
            length = len(self.written)
        written, self.written = self.written, []
        return written


@asynccontextmanager
async def connected(version: str, *, past_sdk: bool, capabilities: Any = None) -> AsyncIterator[Connection]:
    """A connection that has shaken hands, or discovered what the server speaks."""
    operations = Operations()
    caller = Caller(Principal("local:ada"), "stdio")
    server, tool_calls = build_server_and_calls(
        operations,  # type: ignore[arg-type]
        lambda _ctx: caller,
        Scope(toolsets=frozenset({"all"})),
    )
    plain = Counting(server, tool_calls, caller, TRACE)
    connection = Connection(operations, plain if past_sdk else None)
    incoming, outgoing = wire.streams(connection, connection, None, connection.plain)
    options = server.create_initialization_options()
    connection.serving = running = asyncio.create_task(server.run(incoming, outgoing, options))
    try:
        if version == MODERN:
            await connection.say(line_of("server/discover", {"_meta": envelope(capabilities)}, 0))
        else:
            client = {"name": "raw", "version": "1"}
            hello = {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": client}
            await connection.say(line_of("initialize", hello, 0))
            await connection.say(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        yield connection
    finally:
        running.cancel()
        await asyncio.wait([running])
        await plain.end()


def heard(connection: Connection) -> Any:
    """What reached the operations."""
    operations = connection.operations
    refusals = [(*each[:4], str(each[4]), each[4].code) for each in operations.refusals]
    return repr((operations.calls, operations.callers, refusals))

"""Callers of a server on HTTP: some at an even pace, whose times are taken, and some that call as fast as they can.

`python -m tests.bench.http_load` is a process of the second kind: a line of JSON on its input begins a load, an empty
line ends it, and what was answered is printed. It gives way to everybody else: it would be on other machines.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


def make_request(port: int, key: str, tool: str, arguments: dict[str, Any]) -> bytes:
    """A tool call as it goes over the wire."""
    params = {"name": tool, "arguments": arguments}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        f"MCP-Protocol-Version: 2025-11-25\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._reply: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, port: int) -> "Connection":
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def send(self, request: bytes) -> bytes:
        """The whole reply; ConnectionError where the connection ends first."""
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._is_whole() and self._reply is not None and not self._reply.done():
            self._reply.set_result(bytes(self._received))
            self._received.clear()

    def _is_whole(self) -> bool:
        begin = self._received.find(_END)
        if begin < 0:
            return False
        head = bytes(self._received[:begin]).lower()
        if b"transfer-encoding: chunked" in head:
            return self._received.endswith(_LAST_CHUNK)
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        return len(self._received) >= begin + len(_END) + length

    def connection_lost(self, error: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError(str(error or "the connection ended")))


def kind_of(reply: bytes) -> str:
    """What a reply says: its status, or which error a tool's result is."""
    status = reply[9:12].decode()
    if status != "200":
        return status
    marked = reply.replace(b"\\", b"").partition(b'"code":"')[2]
    return marked.partition(b'"')[0].decode() if b'"isError":true' in reply else "answered"


@dataclass
class Paced:
    """Callers that each call so often, and the times that they took, by when they should have begun."""

    port: int
    requests: Sequence[bytes]
    """One for each caller."""
    per_second: float
    times: list[tuple[float, float]] = field(default_factory=list)
    """When, by the monotonic clock, and how long in ms."""
    failures: Counter[str] = field(default_factory=Counter)
    _due: dict[int, float] = field(default_factory=dict)
    """When each caller's present call should have begun."""

    async def run(self) -> None:
        """Call until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(self.requests):
                group.create_task(self._call_on(number, request))

    async def _call_on(self, number: int, request: bytes) -> None:
        connection = await Connection.open(self.port)
        due = time.monotonic() + number / len(self.requests) / self.per_second
        while True:
            due += 1 / self.per_second
            self._due[number] = due
            await asyncio.sleep(due - time.monotonic())
            reply = await connection.send(request)
            self.times.append((due, (time.monotonic() - due) * 1_000))
            if (kind := kind_of(reply)) != "answered":
                self.failures[kind] += 1

    async def between(self, begin: float, end: float) -> list[float]:
        """What calls took that were due in a span, once all of them are answered."""
        while min(self._due.values()) < end:
            await asyncio.sleep(0.01)
        return [took for due, took in self.times if begin <= due < end]


async def wait_for_answer(port: int, request: bytes) -> None:
    """Wait until a server answers a request."""
    async with asyncio.timeout(30):
        while True:
            with suppress(OSError):
                connection = await Connection.open(port)
                answer = kind_of(await connection.send(request))
                connection.close()
                if answer != "answered":
                    raise RuntimeError(f"the first call was answered {answer}")
                return
            await asyncio.sleep(0.1)


def cpu_seconds(pid: int) -> float:
    """How long a process has worked, with all of its threads."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


async def call_on(port: int, request: bytes, answers: Counter[str]) -> None:
    """Call as fast as the server answers."""
    while True:
        with suppress(OSError):
            connection = await Connection.open(port)
            try:
                while True:
                    answers[kind_of(await connection.send(request))] += 1
            finally:
                connection.close()
        answers["connection ended"] += 1
        await asyncio.sleep(0.05)


async def main() -> None:
    os.nice(15)
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    answers = Counter[str]()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip():
            load = json.loads(line)
            requests = [request.encode() for request in load["requests"]]
            tasks += [asyncio.create_task(call_on(load["port"], each, answers)) for each in requests]
            continue
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        print(json.dumps(answers), flush=True)
        tasks.clear()
        answers.clear()


if __name__ == "__main__":
    asyncio.run(main())

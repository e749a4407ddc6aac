"""What can go wrong on the way to an org and back, by order of a test."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args

from orgserver.sandbox import salesforce_answers
from orgserver.sandbox.answers import Answer
from orgserver.sandbox.wire import Wire

Kind = Literal[
    "delay",
    "hang",
    "close",
    "reset",
    "cut",
    "drip",
    "status",
    "html",
    "redirect",
    "bomb",
    "huge",
    "bad_json",
    "deep",
    "next_url",
    "salesforce",
]
KINDS: frozenset[str] = frozenset(get_args(Kind))
Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
_MIB = 1024 * 1024
_RESET = struct.pack("ii", 1, 0)
BODILESS = frozenset({204, 304})


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong, a number of times, where method and path match."""

    kind: Kind
    path: str = ".*"
    """A regular expression for the whole path."""
    method: str = ".*"
    times: int = 1
    skip: int = 0
    """How many requests that match are spared first."""
    work: bool = False
    """Whether the request is carried out before its answer is delayed or lost."""
    unread: bool = False
    """Whether it strikes before the request's body is read; for connections that hang or end."""
    seconds: float = 1.0
    status: int = 503
    body: str = ""
    content_type: str = "application/json;charset=UTF-8"
    location: str = ""
    """Where a redirect, or the next page of a query, is said to be."""
    occasion: str = ""
    """Which answer a fault of the kind ``salesforce`` gives, by its name in ``salesforce_answers``."""
    megabytes: int = 40
    """The size of a huge answer."""
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"there is no fault {self.kind!r}; use one of {', '.join(sorted(KINDS))}")
        if (self.kind == "salesforce") is not (self.occasion in salesforce_answers.NAMES):
            raise ValueError(f"the kind salesforce has an occasion: {', '.join(sorted(salesforce_answers.NAMES))}")
        try:
            re.compile(self.path), re.compile(self.method)
        except re.error as error:
            raise ValueError(f"path and method are regular expressions: {error}") from error

    def matches(self, method: str, path: str) -> bool:
        """Tell whether it would strike here."""
        return self.times > 0 and bool(re.fullmatch(self.method, method) and re.fullmatch(self.path, path))


@dataclass(slots=True)
class Line:
    """The connection that a request came on."""

    send: Send
    receive: Receive
    transport: asyncio.Transport | None
    closing: asyncio.Event
    """Set when the sandbox ends."""
    wire: Wire

    async def pause(self, seconds: float) -> None:
        """Wait, whether the client is still there or not."""
        if seconds <= 0:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.closing.wait()

    async def wait_until_gone(self, seconds: float) -> bool:
        """Wait so long for the client to be gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (await self.receive())["type"] != "http.disconnect":
                    pass
                return True
        return False

    async def end(self, *, reset: bool = False) -> None:
        """Close the connection once what was written has left; or throw it away, which the client sees as a reset."""
        if self.transport is None:
            return
        if not reset:
            self.transport.close()
        else:
            # A duplicate, because not every event loop lets one set options through its transport.
            raw = self.transport.get_extra_info("socket")
            with socket.fromfd(raw.fileno(), socket.AF_INET, socket.SOCK_STREAM) as duplicate:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
        await self.wait_until_gone(1)

    async def answer(self, answer: Answer) -> None:
        """Send an answer, in the form that this client asked for."""
        if answer.status in BODILESS:
            await self.start(answer.status, "", answer.headers)
            await self.part(b"", more=False)
            return
        body = self.wire.pack(answer.body)
        framing = self.wire.framing(len(body))
        await self.start(answer.status, answer.content_type, answer.headers | self.wire.coding(answer.body) | framing)
        for part in self.wire.parts(body):
            await self.part(part)
        await self.part(b"", more=False)

    async def start(self, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        """Send the head of an answer."""
        pairs = self.wire.headers(content_type, headers)
        raw_headers = [(name.encode(), value.encode()) for name, value in pairs]
        await self.send({"type": "http.response.start", "status": status, "headers": raw_headers})

    async def part(self, body: bytes, *, more: bool = True) -> None:
        """Send a part of an answer's body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": more})


async def strike(fault: Fault, line: Line, answer: Answer) -> None:
    """Do the damage; ``answer`` is what would have been sent."""
    if fault.kind == "hang":
        if not await line.wait_until_gone(fault.seconds):
            await line.end(reset=True)
    elif fault.kind in ("close", "reset"):
        await line.end(reset=fault.kind == "reset")
    elif fault.kind == "cut":
        await _cut(line, answer)
    elif fault.kind == "drip":
        await _drip(fault, line)
    elif fault.kind == "salesforce":
        await line.answer(salesforce_answers.answer(fault.occasion))
    elif fault.kind == "huge":
        await _huge(fault, line)
    else:
        await _false_answer(fault, line)


async def _cut(line: Line, answer: Answer) -> None:
    if answer.body:
        # 200, whatever it was: an answer without a body could not be cut in the middle of one.
        body = line.wire.pack(answer.body)
        await line.start(200, answer.content_type, line.wire.coding(answer.body) | line.wire.framing(len(body)))
        await line.part(body[: len(body) // 2])
    elif line.transport is not None:
        line.transport.write(b"HTTP/1.1 20")
    await line.end()


async def _drip(fault: Fault, line: Line) -> None:
    await line.start(200, fault.content_type, {"Content-Length": "10000"})
    for _ in range(int(fault.seconds * 10)):
        await line.part(b" ")
        if await line.wait_until_gone(0.1):
            return
    await line.end(reset=True)


async def _huge(fault: Fault, line: Line) -> None:
    head, tail, chunk = b'{"x":"', b'"}', b"y" * _MIB
    length = len(head) + fault.megabytes * _MIB + len(tail)
    await line.start(200, fault.content_type, {"Content-Length": str(length)})
    await line.part(head)
    for _ in range(fault.megabytes):
        await line.part(chunk)
    await line.part(tail, more=False)


async def _false_answer(fault: Fault, line: Line) -> None:
    status, body, headers, kind = 200, fault.body.encode(), dict(fault.headers), fault.content_type
    if fault.kind == "bomb":
        bomb = _bomb()
        await line.start(status, kind, headers | {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))})
        await line.part(bomb, more=False)
        return
    if fault.kind == "status":
        status = fault.status
    elif fault.kind == "redirect":
        status, headers["Location"] = 302, fault.location
    elif fault.kind == "html":
        status, kind = fault.status, "text/html"
        body = body or b"<html><body>Down for maintenance</body></html>"
    elif fault.kind == "deep":
        body = b"[" * 500 + b"]" * 500
    elif fault.kind == "bad_json":
        body = b'{"totalSize": 1, '
    await line.answer(Answer.from_bytes(status, body, kind, headers))


@cache
def _bomb() -> bytes:
    """200 MiB of JSON in some 200 KB of gzip."""
    squeezer = zlib.compressobj(6, zlib.DEFLATED, 31)
    chunk = b" " * _MIB
    parts = [squeezer.compress(b"["), *(squeezer.compress(chunk) for _ in range(200)), squeezer.compress(b"]")]
    return b"".join([*parts, squeezer.flush()])

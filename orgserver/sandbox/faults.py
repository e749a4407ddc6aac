"""What can go wrong on the way to an org and back, by order of a test."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "delay", "hang", "close", "reset", "cut", "drip", "status", "redirect", "bomb", "huge", "bad_json", "deep", "html"
]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_MIB = 1024 * 1024


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong, a number of times, where method and path match."""

    kind: Kind
    path: str = ".*"
    """A regular expression for the whole path."""
    method: str = ".*"
    times: int = 1
    work: bool = False
    """Whether the request is carried out before the answer is lost."""
    seconds: float = 1.0
    status: int = 503
    body: str = ""
    content_type: str = "application/json;charset=UTF-8"
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def matches(self, method: str, path: str) -> bool:
        """Tell whether it strikes here."""
        return self.times > 0 and bool(re.fullmatch(self.method, method) and re.fullmatch(self.path, path))


async def strike(fault: Fault, send: Send, transport: asyncio.Transport, answer: bytes) -> None:
    """Do the damage. The request has been read whole; ``answer`` is what would have been sent."""
    if fault.kind == "hang":
        await asyncio.sleep(fault.seconds)
        transport.abort()
    elif fault.kind == "close":
        transport.close()
    elif fault.kind == "reset":
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    elif fault.kind == "cut":
        await _start(send, 200, fault.content_type, {"content-length": str(len(answer) + 100)})
        await send({"type": "http.response.body", "body": answer[: len(answer) // 2], "more_body": True})
        transport.close()
    elif fault.kind == "drip":
        await _start(send, 200, fault.content_type, {"content-length": str(10_000)})
        for _ in range(int(fault.seconds * 10)):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.1)
        transport.abort()
    else:
        await _false_answer(fault, send)


async def _false_answer(fault: Fault, send: Send) -> None:
    status, body, headers, kind = 200, fault.body.encode(), dict(fault.headers), fault.content_type
    if fault.kind == "status":
        status = fault.status
    elif fault.kind == "redirect":
        status, headers["location"] = 302, fault.location
    elif fault.kind == "html":
        status, kind, body = fault.status, "text/html", b"<html><body>Down for maintenance</body></html>"
    elif fault.kind == "bomb":
        body, headers["content-encoding"] = gzip.compress(b"[" + b" " * 200 * _MIB + b"]", 9), "gzip"
    elif fault.kind == "huge":
        body = b'{"x":"' + b"y" * 40 * _MIB + b'"}'
    elif fault.kind == "deep":
        body = b"[" * 500 + b"]" * 500
    elif fault.kind == "bad_json":
        body = b'{"totalSize": 1, '
    await _start(send, status, kind, headers | {"content-length": str(len(body))})
    await send({"type": "http.response.body", "body": body})


async def _start(send: Send, status: int, content_type: str, headers: dict[str, str]) -> None:
    pairs = [(b"content-type", content_type.encode()), *((k.encode(), v.encode()) for k, v in headers.items())]
    await send({"type": "http.response.start", "status": status, "headers": pairs})

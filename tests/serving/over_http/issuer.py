"""An identity provider on loopback: a real server, whose answers and keys a test may change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.oauth.issuers import Issuer


class RunningIssuer(Issuer):
    """One that can be asked."""

    asked: list[str]
    overrides: dict[str, Any]
    """Documents by path, in place of the true ones; a number is a status."""

    def document(self, path: str) -> Any:
        """What is at a path."""
        if path in self.overrides:
            return self.overrides[path]
        if path == "/.well-known/oauth-authorization-server":
            return self.metadata()
        return self.jwks() if path == "/jwks" else 404


@asynccontextmanager
async def running_issuer() -> AsyncIterator[RunningIssuer]:
    """Run one until the block ends."""
    issuer = RunningIssuer()
    issuer.asked, issuer.overrides = [], {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        issuer.asked.append(path)
        content = issuer.document(path)
        status, body = (content, b"") if isinstance(content, int) else (200, json.dumps(content).encode())
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield issuer

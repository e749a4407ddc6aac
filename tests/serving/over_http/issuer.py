"""An identity provider on loopback: a real server, whose answers and keys a test may change."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from tests.oauth.issuers import Issuer


class RunningIssuer(Issuer):
    """One that can be asked, for tokens too: a client gets the scopes that it asks for, or first those of a list."""

    paths: list[str]
    first_scopes: list[str]
    requests: list[dict[str, str]]
    """For tokens."""
    overrides: dict[str, Any]
    """Documents by path, in place of the true ones; a number is a status."""

    def document(self, path: str, body: bytes) -> Any:
        """What is at a path."""
        if path in self.overrides:
            return self.overrides[path]
        if path == "/.well-known/oauth-authorization-server":
            endpoints = {f"{name}_endpoint": f"{self.url}/{name}" for name in ("authorization", "token")}
            return self.metadata(response_types_supported=["code"], **endpoints)
        if path == "/token":
            return self._issue_token(dict(parse_qsl(body.decode())))
        return self.jwks() if path == "/jwks" else 404

    def _issue_token(self, request: dict[str, str]) -> dict[str, Any]:
        self.requests.append(request)
        scope = self.first_scopes.pop(0) if self.first_scopes else request["scope"]
        token = self.token(sub="agent", client_id="agent", scope=scope)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": scope}


@asynccontextmanager
async def running_issuer() -> AsyncIterator[RunningIssuer]:
    """Run one until the block ends."""
    issuer = RunningIssuer()
    issuer.paths, issuer.overrides, issuer.first_scopes, issuer.requests = [], {}, [], []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        issuer.paths.append(path)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        content = issuer.document(path, await reader.readexactly(int(length[1]) if length else 0))
        status, body = (content, b"") if isinstance(content, int) else (200, json.dumps(content).encode())
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1")
    issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield issuer

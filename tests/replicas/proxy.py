"""A proxy on loopback that sends each request to the next of its servers, as a load balancer without affinity does."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx2
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

_OF_A_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"date", b"server"}
)
_SECONDS = 60.0


class RoundRobin:
    """An ASGI app that forwards to ``servers``, one after the other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.servers: list[str] = []
        """Who is asked; a server that is taken out gets nothing any more."""
        self.forwarded: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        """How many requests are not answered yet, by server."""
        self._turn = 0
        self._client = httpx2.AsyncClient(  # a connection that is kept could be closed under a request
            trust_env=False, timeout=_SECONDS, limits=httpx2.Limits(max_keepalive_connections=0)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        server = self._pick()
        self.under_way[server] += 1
        try:
            response = await self._forward(request, body, server)
            await response(scope, receive, send)
        finally:
            self.under_way[server] -= 1

    async def take_out(self, server: str) -> None:
        """Send nothing more there, and wait until what was sent is answered."""
        self.servers.remove(server)
        async with asyncio.timeout(_SECONDS):
            while self.under_way[server]:
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        await self._client.aclose()

    def _pick(self) -> str:
        self._turn += 1
        return self.servers[self._turn % len(self.servers)]

    async def _forward(self, request: Request, body: bytes, server: str) -> Response:
        """Forward to a server, or to the next where it does not listen; 502 where it is gone and may have begun."""
        self.forwarded[server] += 1
        headers = [(name, value) for name, value in request.headers.raw if name not in _OF_A_CONNECTION]
        path = request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
        asked = self._client.build_request(request.method, server + path, headers=headers, content=body)
        try:
            reply = await self._client.send(asked, stream=True)
        except httpx2.ConnectError:
            if server in self.servers:
                self.servers.remove(server)
            return await self._forward(request, body, self._pick())
        except httpx2.TransportError as error:
            return PlainTextResponse(f"{type(error).__name__} at {server}", 502)
        response = StreamingResponse(_read(reply), reply.status_code)
        response.raw_headers = [each for each in reply.headers.raw if each[0].lower() not in _OF_A_CONNECTION]
        return response


class _Server(uvicorn.Server):
    """One that leaves signals to the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _read(reply: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for part in reply.aiter_raw():
            yield part
    finally:
        await reply.aclose()


@asynccontextmanager
async def forwarding() -> AsyncIterator[RoundRobin]:
    """Run one on a free port until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        proxy = RoundRobin(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = _Server(uvicorn.Config(proxy, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(_SECONDS):
                while not server.started:
                    await asyncio.sleep(0.01)
            yield proxy
        finally:
            server.should_exit = True
            await task
            await proxy.close()

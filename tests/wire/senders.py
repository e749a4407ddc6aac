"""Senders for tests of the wire: over both event loops, against hosts on this machine."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from orgserver.salesforce.http1.requests import HttpRequest, build_http_request, parse_origin
from orgserver.salesforce.http1.sender import HttpSender


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Both event loops that a server may run on."""
    with asyncio.Runner(loop_factory=request.param) as made:
        yield made


def no_tls() -> ssl.SSLContext:
    raise AssertionError("nothing here is https")


@asynccontextmanager
async def sender(**options: object) -> AsyncIterator[HttpSender]:
    """A sender without proxy or TLS, unless ``options`` say otherwise."""
    made = HttpSender(**({"tls_context": no_tls, "proxy": None} | options))  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.aclose()


def request_to(address: str, method: str = "GET", body: bytes | None = None, *, scheme: str = "http") -> HttpRequest:
    headers = [("Authorization", "Bearer 00DSb0000000001!AQwire.nobody_may_ever_read_this")]
    return build_http_request(method, parse_origin(f"{scheme}://{address}"), "/services/x?q=1", headers, body)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a port of its own, that is stopped with all that it still does."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await serve(reader, writer)
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(run(reader, writer)))

    server = await asyncio.start_server(connected, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(server.wait_closed(), 5)
        await asyncio.sleep(0)  # what was closed is gone with the next turn

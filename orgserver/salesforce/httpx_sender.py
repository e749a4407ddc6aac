"""Sends by httpx what is asked seldom, tokens above all, under the same guards as the requests of calls."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

import httpx

from orgserver.salesforce.http1.addresses import AddressLookup
from orgserver.salesforce.http1.failures import NeverSent, ReplyLost, explain_connect_failure
from orgserver.salesforce.http1.proxy import parse_proxy
from orgserver.salesforce.http1.reply_body import ReplyBody
from orgserver.salesforce.http1.requests import Grow, HttpReply, HttpRequest, Origin
from orgserver.salesforce.http1.sender import CONNECT_SECONDS

_OF_THE_WIRE: Final = ("content-encoding", "content-length", "transfer-encoding")
_NO_CONNECTION: Final = (httpx.ConnectError, httpx.ProxyError, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""httpx raises these only before a request is written; what is in doubt it calls by other names."""


class HttpxSender:
    """One login host's connections, or whatever else answers for it as httpx has it.

    The transport is asked itself: httpx's client above it knows redirects, cookies and passwords by URL.
    """

    def __init__(
        self, open_transport: Callable[[], httpx.AsyncBaseTransport], addresses: AddressLookup | None = None
    ) -> None:
        """``addresses`` looks hosts up before httpx does; None where there is nothing to look up, as with a proxy."""
        self._open_transport = open_transport
        self._addresses = addresses
        self._transport: httpx.AsyncBaseTransport | None = None

    async def send(self, request: HttpRequest, *, seconds: float, grow: Grow | None = None) -> HttpReply:
        """Send a request by httpx; as ``Sender.send``."""
        request.written = False
        transport = self._transport = self._transport or self._open_transport()
        if self._addresses is not None:
            await _look_up(self._addresses, request.origin)
        outgoing = _to_httpx(request, seconds)
        request.written = True
        try:
            response = await transport.handle_async_request(outgoing)
            try:
                return await _read(response, grow)
            finally:
                await response.aclose()
        except httpx.ConnectTimeout as error:
            request.written = False
            raise NeverSent("no connection in time") from error
        except _NO_CONNECTION as error:
            request.written = False
            raise NeverSent(explain_connect_failure(error)) from error
        except httpx.TimeoutException as error:
            raise ReplyLost("no answer in time") from error
        except httpx.NetworkError as error:
            raise ReplyLost("the connection ended before the answer") from error
        except httpx.HTTPError as error:
            raise ReplyLost("the answer is no valid HTTP") from error

    async def aclose(self) -> None:
        """Close every connection."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()


def open_transport(tls: ssl.SSLContext, proxy: str | None, connections: int) -> httpx.AsyncBaseTransport:
    """The transport of httpx, without what the environment says; NeverSent for a proxy's address that is none.

    Each request has a connection of its own. One that is kept may be closed by the host, or by a proxy between, in the
    moment in which it is used again, and a refresh token that was sent into that is in doubt.
    """
    through = parse_proxy(proxy) if proxy else None
    return httpx.AsyncHTTPTransport(
        verify=tls,
        trust_env=False,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=0),
        proxy=httpx.Proxy(proxy, ssl_context=tls if through.secure else None) if proxy and through else None,
    )


def _to_httpx(request: HttpRequest, seconds: float) -> httpx.Request:
    lines = request.headers.decode("ascii").split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines if line)]
    timeout = {"connect": CONNECT_SECONDS, "pool": CONNECT_SECONDS, "read": seconds, "write": seconds}
    return httpx.Request(
        request.method,
        request.origin.url + request.target,
        headers=headers,
        content=request.body,
        extensions={"timeout": timeout},
    )


async def _look_up(addresses: AddressLookup, origin: Origin) -> None:
    """See that a host's name is answered; httpx asks for it again, in one of a few threads that all hosts share.

    A name that is not answered would hold such a thread up, and nothing can stop it.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await addresses.find(origin.host, origin.port)
    except TimeoutError as error:
        raise NeverSent("no connection in time") from error
    except (OSError, UnicodeError) as error:
        raise NeverSent(explain_connect_failure(error)) from error


async def _read(response: httpx.Response, grow: Grow | None) -> HttpReply:
    """The reply, its body unpacked here, in bounds: httpx has none."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101  # of an async transport
    body = ReplyBody(headers.get("content-encoding"), grow)
    async for chunk in stream:
        await body.add(chunk)
    content = await body.content()
    for name in _OF_THE_WIRE:
        headers.pop(name, None)
    return HttpReply(response.status_code, headers, content)

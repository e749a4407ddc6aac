"""How bytes travel: httpx's interface over aiohttp's connections, with every failure told apart by proof.

``ConnectError``, ``ConnectTimeout`` and ``PoolTimeout`` are raised only where no byte of the request was written.
Whatever fails after that is ``ReadError``, ``ReadTimeout`` or ``RemoteProtocolError``: the request may have arrived.
The ready-made bridge between the two libraries mixes these up (docs/adr/0003-transport.md).
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import aiohttp
import httpx
from yarl import URL

from orgserver.salesforce import content_coding

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 45.0
KEEP_ALIVE_SECONDS: Final = 15.0
MAX_BODY: Final = 32 * 1024 * 1024
"""The largest reply we read, in bytes, compressed or not."""
_OF_THE_WIRE: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
"""Headers that are true of a body on its way, and false of the one that is handed on: httpx would unpack it again."""


class BodyTooLarge(httpx.RemoteProtocolError):
    """The reply is larger than anything Salesforce sends us."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One org's connection pool."""

    def __init__(self, *, connections: int, tls: ssl.SSLContext | None, proxy: str | None) -> None:
        self._connections = connections
        self._tls = tls
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, once, and read the whole reply; no redirect, no cookie, no repetition."""
        timeouts = request.extensions.get("timeout", {})
        limits = aiohttp.ClientTimeout(
            total=None,
            connect=timeouts.get("connect", CONNECT_SECONDS),
            sock_connect=timeouts.get("connect", CONNECT_SECONDS),
            sock_read=timeouts.get("read", READ_SECONDS),
        )
        try:
            async with self._open().request(
                request.method,
                URL(str(request.url), encoded=True),
                data=request.content or None,
                headers=[(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw],
                allow_redirects=False,
                timeout=limits,
                proxy=self._proxy,
            ) as answer:
                content = await _read(answer, request.extensions.get("grow"))
                headers = [pair for pair in answer.raw_headers if pair[0].lower() not in _OF_THE_WIRE]
                return httpx.Response(answer.status, headers=headers, content=content, request=request)
        except aiohttp.ConnectionTimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time", request=request) from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise httpx.ConnectError(_reason(error), request=request) from error
        except (aiohttp.SocketTimeoutError, TimeoutError) as error:
            raise httpx.ReadTimeout("no answer in time", request=request) from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as error:
            raise httpx.ReadError("the connection ended before the answer", request=request) from error
        except aiohttp.ClientResponseError:
            pass  # its repr holds the request's headers, so the token: not even as a cause may it go any further
        except (aiohttp.ClientError, ValueError) as error:
            raise httpx.RemoteProtocolError("the answer is no valid HTTP", request=request) from error
        raise httpx.RemoteProtocolError("the answer is no valid HTTP", request=request)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._connections,
                ssl=self._tls if self._tls is not None else True,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                ttl_dns_cache=30,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                max_line_size=16_384,
                max_field_size=16_384,
            )
            # aiohttp repeats GET, PUT and DELETE by itself when a kept-alive connection closes under it.
            # A DELETE must never be repeated behind our back; tests/wire shows that it is not.
            self._session._retry_connection = False  # noqa: SLF001  # no public switch exists
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()


async def _read(answer: aiohttp.ClientResponse, grow: content_coding.Grow | None) -> bytes:
    codings = answer.headers.getall("Content-Encoding", ())
    try:
        return await content_coding.read_body(answer.content.iter_any(), codings, MAX_BODY, grow)
    except content_coding.Unreadable as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except content_coding.TooLarge as error:
        raise BodyTooLarge(f"the answer is larger than {MAX_BODY >> 20} MiB") from error
    except content_coding.CutOff as error:
        raise httpx.ReadError("the answer was cut off") from error


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its TLS certificate is not trusted (ORGSERVER_CA_FILE names further certificates)"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name could not be looked up"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "the proxy (ORGSERVER_PROXY) could not be reached"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no TLS connection could be made"
    return "no connection could be made"


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verify as the system does, and trust the operator's own certificates too."""
    import truststore  # noqa: PLC0415  # only where an org is reached by https

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file is not None:
        context.load_verify_locations(cafile=str(ca_file))
    return context

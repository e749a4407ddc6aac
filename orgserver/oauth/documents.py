"""Fetches JSON documents of an issuer: bounded in size and time, never redirected, never unpacked."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Any

import httpx

from orgserver.model.json_text import read_json_text
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl

MAX_BYTES = 256 * 1024
SECONDS = 5.0
"""For one document, however slowly it drips."""
_OK = 200
_ABSENT = (400, 401, 403, 404, 405, 410)
"""What says that no document is there."""
_REDIRECTS = range(300, 400)
_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "orgserver"}


class DocumentFetcher:
    """Asks an issuer over connections that are closed after each document: it is asked seldom."""

    def __init__(self, make_tls: Callable[[], ssl.SSLContext], proxy: str | None = None) -> None:
        self._make_tls = make_tls
        self._proxy = proxy
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, url: CheckedUrl, *, must_be_public: bool = False) -> dict[str, Any] | None:
        """The object at a URL; None where there is none. IssuerUnavailable for whatever else comes, or does not.

        ``must_be_public``: not at an address of this machine or of the network around it. A proxy sees to that itself.
        """
        try:
            async with asyncio.timeout(SECONDS):
                address = await _find_public_address(url) if must_be_public and self._proxy is None else None
                content = await self._get(url, address)
        except TimeoutError:
            raise IssuerUnavailable(f"{url.text}: no answer in {SECONDS:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:  # the last: of a redirect's host
            reason = f"{url.text}: no connection, or no valid answer ({type(error).__name__})"
            raise IssuerUnavailable(reason) from None
        return _read_object(url, content) if content is not None else None

    async def _get(self, url: CheckedUrl, address: str | None) -> bytes | None:
        """The content; of the address that was looked at, and no other that the name may mean a moment later."""
        headers, extensions = dict(_HEADERS), {}
        if address is not None:
            headers["host"], extensions["sni_hostname"] = url.authority, url.host
        target = url.text if address is None else url.text_at(address)
        async with (
            self._open(None if url.is_loopback else self._proxy) as client,
            client.stream("GET", target, headers=headers, extensions=extensions) as response,
        ):
            if response.status_code == _OK:
                return await _read_body(response)
            if response.status_code in _ABSENT:
                return None
            is_redirect = response.status_code in _REDIRECTS
            kind = "a redirect, which is not followed" if is_redirect else f"HTTP status {response.status_code}"
            raise IssuerUnavailable(f"{url.text} was answered by {kind}")

    def _open(self, proxy: str | None) -> httpx.AsyncClient:
        if self._tls is None:
            self._tls = self._make_tls()
        is_secure = proxy is not None and proxy.startswith("https://")
        through = httpx.Proxy(proxy, ssl_context=self._tls if is_secure else None) if proxy is not None else None
        return httpx.AsyncClient(
            verify=self._tls, proxy=through, trust_env=False, follow_redirects=False, timeout=SECONDS
        )


async def _find_public_address(url: CheckedUrl) -> str:
    """An address of a host that is not this machine's or of the network around it; IssuerUnavailable for any other."""
    answers = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    addresses = [str(sockaddr[0]) for *_, sockaddr in answers]
    if not addresses or not all(map(_is_public, addresses)):
        raise IssuerUnavailable(f"{url.host} is at an address that only this network can reach")
    return addresses[0]


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    ipv4 = getattr(address, "ipv4_mapped", None)
    return (ipv4 or address).is_global and not address.is_multicast


async def _read_body(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise IssuerUnavailable(f"{response.url.host}: the document came packed, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BYTES:
            raise IssuerUnavailable(f"{response.url.host}: the document has more than {MAX_BYTES // 1024} KiB")
    return bytes(content)


def _read_object(url: CheckedUrl, content: bytes) -> dict[str, Any]:
    try:
        document = read_json_text(content.decode("utf-8"))
    except ValueError:
        raise IssuerUnavailable(f"{url.text} holds no JSON") from None
    if not isinstance(document, dict):
        raise IssuerUnavailable(f"{url.text} holds no JSON object")
    return document

"""Asks issuers and others for JSON, and posts forms to them: bounded in size and time, never redirected or unpacked."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from orgserver.model.hosts import is_public
from orgserver.model.json_text import read_json_text
from orgserver.oauth.addresses import find_addresses
from orgserver.oauth.refusals import IssuerUnavailable
from orgserver.oauth.urls import CheckedUrl

MAX_BYTES = 256 * 1024
SECONDS = 5.0
"""For one document, however slowly it drips."""
_OK = 200
_ABSENT = (400, 401, 403, 404, 405, 410)
"""What says that no document is there."""
_REDIRECTS = range(300, 400)
_ANSWERS = (*range(200, 300), *range(400, 500))
"""Of an endpoint that has made up its mind."""
_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "orgserver"}
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_SECONDS = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON object from elsewhere."""

    object: dict[str, Any]
    fresh_seconds: float | None
    """How long it may be used without being asked for again, as it says itself; None: it does not say."""


@dataclass(frozen=True, slots=True)
class FormReply:
    """What an endpoint answered to a form."""

    status: int
    object: dict[str, Any] = field(repr=False)
    """Empty where it answered with something else than a JSON object."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: httpx.Headers
    content: bytes = field(repr=False)


class DocumentFetcher:
    """Asks over connections that are closed after each answer: it asks seldom."""

    def __init__(self, make_tls: Callable[[], ssl.SSLContext], proxy: str | None = None) -> None:
        self._make_tls = make_tls
        self._proxy = proxy
        self._tls: ssl.SSLContext | None = None

    async def fetch(
        self, url: CheckedUrl, *, must_be_public: bool = False, max_bytes: int = MAX_BYTES
    ) -> dict[str, Any] | None:
        """The object at a URL; None where there is none. IssuerUnavailable for whatever else comes, or does not.

        ``must_be_public``: not at an address of this machine or of the network around it. A proxy sees to that itself.
        """
        document = await self.fetch_document(url, must_be_public=must_be_public, max_bytes=max_bytes)
        return document.object if document is not None else None

    async def fetch_document(
        self,
        url: CheckedUrl,
        *,
        headers: Mapping[str, str] | None = None,
        must_be_public: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> Document | None:
        """The same with how long it is fresh."""
        request = httpx.Request("GET", url.text, headers=_HEADERS | dict(headers or {}))
        reply = await self._send(request, url, must_be_public, max_bytes)
        if reply.status in _ABSENT:
            return None
        if reply.status != _OK:
            raise IssuerUnavailable(f"{url.text} was answered by HTTP status {reply.status}")
        return Document(_read_object(url, reply.content), _read_freshness(reply.headers))

    async def post_form(
        self, url: CheckedUrl, form: str, headers: Mapping[str, str], *, must_be_public: bool = False
    ) -> FormReply:
        """What an endpoint answers to a form, given as it is sent; IssuerUnavailable where it does not, or not yet."""
        request = httpx.Request("POST", url.text, headers=_HEADERS | _FORM | dict(headers), content=form)
        reply = await self._send(request, url, must_be_public, MAX_BYTES)
        if reply.status not in _ANSWERS:
            raise IssuerUnavailable(f"{url.text} answered by HTTP status {reply.status}")
        try:
            return FormReply(reply.status, _read_object(url, reply.content))
        except IssuerUnavailable:
            return FormReply(reply.status, {})

    async def _send(self, request: httpx.Request, url: CheckedUrl, must_be_public: bool, max_bytes: int) -> _Reply:
        try:
            async with asyncio.timeout(SECONDS):
                if must_be_public and self._proxy is None:
                    _direct(request, url, await _find_public_address(url))
                return await self._exchange(request, url, max_bytes)
        except TimeoutError:
            raise IssuerUnavailable(f"{url.text}: no answer in {SECONDS:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:  # the last: of a redirect's host
            reason = f"{url.text}: no connection, or no valid answer ({type(error).__name__})"
            raise IssuerUnavailable(reason) from None

    async def _exchange(self, request: httpx.Request, url: CheckedUrl, max_bytes: int) -> _Reply:
        async with await self._open(None if url.is_loopback else self._proxy) as client:
            response = await client.send(request, stream=True)
            try:
                if response.status_code in _REDIRECTS:
                    raise IssuerUnavailable(f"{url.text} was answered by a redirect, which is not followed")
                is_document = response.status_code not in _ABSENT or request.method == "POST"
                content = await _read_body(response, max_bytes) if is_document else b""
                return _Reply(response.status_code, response.headers, content)
            finally:
                await response.aclose()

    async def _open(self, proxy: str | None) -> httpx.AsyncClient:
        if self._tls is None:  # in a thread, for it reads all certificates that the system trusts
            self._tls = await asyncio.to_thread(self._make_tls)
        is_secure = proxy is not None and proxy.startswith("https://")
        through = httpx.Proxy(proxy, ssl_context=self._tls if is_secure else None) if proxy is not None else None
        return httpx.AsyncClient(
            verify=self._tls, proxy=through, trust_env=False, follow_redirects=False, timeout=SECONDS
        )


def _direct(request: httpx.Request, url: CheckedUrl, address: str) -> None:
    """Send a request to the address that was looked at, and no other that the name may mean a moment later."""
    request.url = httpx.URL(url.text_at(address))
    request.headers["host"] = url.authority
    request.extensions = {"sni_hostname": url.host}


async def _find_public_address(url: CheckedUrl) -> str:
    """An address of a host that is not this machine's or of the network around it; IssuerUnavailable for any other."""
    try:
        addresses = await find_addresses(url.host, url.port)
    except (OSError, UnicodeError):  # told alike: strangers must not learn which names this network has
        addresses = []
    if not addresses or not all(map(is_public, addresses)):
        raise IssuerUnavailable(f"{url.host} has no address, or one that only this network can reach")
    return addresses[0]


async def _read_body(response: httpx.Response, max_bytes: int) -> bytes:
    host = response.url.host
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise IssuerUnavailable(f"{host}: the document came packed, which was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > max_bytes:
            raise IssuerUnavailable(f"{host}: the document has more than {max_bytes // 1024} KiB")
    return bytes(content)


def _read_object(url: CheckedUrl, content: bytes) -> dict[str, Any]:
    try:
        document = read_json_text(content.decode("utf-8"))
    except ValueError:
        raise IssuerUnavailable(f"{url.text} holds no JSON") from None
    if not isinstance(document, dict):
        raise IssuerUnavailable(f"{url.text} holds no JSON object")
    return document


def _read_freshness(headers: httpx.Headers) -> float | None:
    """Seconds by ``Cache-Control``, less those for which it lay in a cache (RFC 9111); None where it does not say."""
    directives = [each.strip().lower() for each in headers.get("cache-control", "").split(",")]
    if any(name in directives for name in ("no-store", "no-cache")):
        return 0.0
    ages = [each.partition("=")[2].strip('"') for each in directives if each.startswith("max-age=")]
    if len(ages) != 1 or not _SECONDS.fullmatch(ages[0]):
        return None
    age = headers.get("age", "0")
    return max(0.0, float(ages[0]) - (float(age) if _SECONDS.fullmatch(age) else 0.0))

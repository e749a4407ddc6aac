"""The form of replies on the wire: Salesforce's headers, cookies, chunks and packing; or the plain form for benches.

What is here, and where it is known from, is in docs/stand-ins.md.
"""

from __future__ import annotations

import gzip
import re
import secrets
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from orgserver.sandbox.errors import Refusal

_CODING = re.compile(r"\s*([^\s;,]+)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?", re.IGNORECASE)
_COOKIE_EXPIRY = "Thu, 01-Jan-2037 00:00:00 GMT"
_FIRST_CHUNK = 10
"""A packer's first bytes leave by themselves: the head of a gzip stream."""
_CHUNK = 8 * 1024
_MAX_REQUEST = 50 * 1024 * 1024
_SALESFORCE_HEADERS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-XSS-Protection": "1; mode=block",
    "X-Robots-Tag": "none",
    "Cache-Control": "no-cache,must-revalidate,max-age=0,no-store,private",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class Wire:
    """How one request is answered."""

    coding_name: str = ""
    """What its client asks to have replies packed with: ``gzip``, ``deflate`` or nothing."""
    date: str = ""
    plain: bool = False
    lower_case: bool = False
    """Whether header names are written small, as some of Salesforce's edges do."""
    last: bool = False
    """Whether the connection ends with this answer."""

    @classmethod
    def negotiate(
        cls,
        accept_encoding: str,
        now: datetime,
        *,
        plain: bool,
        number: int,
        last: bool = False,
        codings: Sequence[str] = ("gzip", "deflate"),
    ) -> Wire:
        """The form for a request that accepts these codings; ``number`` of the request, for what varies."""
        coding_name = "" if plain else _preferred(accept_encoding, codings)
        return cls(coding_name, format_datetime(now, usegmt=True), plain, bool(number % 2), last)

    def pack(self, body: bytes) -> bytes:
        """A body as it travels."""
        if not body or not self.coding_name:
            return body
        return gzip.compress(body, 6, mtime=0) if self.coding_name == "gzip" else zlib.compress(body, 6)

    def coding(self, body: bytes) -> dict[str, str]:
        """The header that says how the body is packed, if it is."""
        return {"Content-Encoding": self.coding_name} if body and self.coding_name else {}

    def framing(self, length: int) -> dict[str, str]:
        """The header that says where the body ends; where there is none, it goes in chunks."""
        return {"Content-Length": str(length)} if self.plain else {}

    def parts(self, body: bytes) -> Iterator[bytes]:
        """The chunks of a body."""
        if self.plain:
            yield body
            return
        if body:
            yield body[:_FIRST_CHUNK]
        for start in range(_FIRST_CHUNK, len(body), _CHUNK):
            yield body[start : start + _CHUNK]

    def headers(self, content_type: str, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        """All headers of an answer, in order."""
        own = {"Date": self.date} | ({} if self.plain else _SALESFORCE_HEADERS)
        own |= {"Content-Type": content_type} if content_type else {}
        own |= {"Connection": "close"} if self.last else {}
        other_names = {name.lower() for name in headers}
        pairs = [pair for pair in own.items() if pair[0].lower() not in other_names] + list(headers.items())
        pairs += [] if self.plain else _cookies()
        return [(name.lower(), value) for name, value in pairs] if self.lower_case else pairs


def unpacked(body: bytes, content_encoding: str) -> bytes:
    """A request's body as it was before its client packed it; Refusal if that cannot be told."""
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", f"Content-Encoding '{coding}' is not supported")
    bits = zlib.MAX_WBITS if coding == "deflate" else 16 + zlib.MAX_WBITS
    stream = zlib.decompressobj(bits)
    try:
        content = stream.decompress(body, _MAX_REQUEST)
    except zlib.error:
        raise Refusal(400, "JSON_PARSER_ERROR", "The request's body is not in the form that its header says") from None
    if not stream.eof:
        raise Refusal(400, "JSON_PARSER_ERROR", "The request's body ends too soon, or is too large")
    return content


def _preferred(accept_encoding: str, codings: Sequence[str]) -> str:
    """The first of the codings that is accepted, or none."""
    names = {
        match[1].lower()
        for part in accept_encoding.split(",")
        if (match := _CODING.fullmatch(part)) and float(match[2] or 1) > 0
    }
    return next((name for name in codings if name in names), "")


def _cookies() -> list[tuple[str, str]]:
    """Three that nobody asked for, one of them for all of Salesforce's hosts."""
    browser = secrets.token_urlsafe(16)
    return [
        (
            "Set-Cookie",
            f"BrowserId={browser}; domain=.salesforce.com; path=/; expires={_COOKIE_EXPIRY}; Max-Age=31536000; secure",
        ),
        ("Set-Cookie", f"CookieConsentPolicy=0:1; path=/; expires={_COOKIE_EXPIRY}; Max-Age=31536000; secure"),
        ("Set-Cookie", f"LSKey-c$CookieConsentPolicy=0:1; path=/; expires={_COOKIE_EXPIRY}; Max-Age=31536000; secure"),
    ]

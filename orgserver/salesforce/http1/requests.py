"""A request as it is written, its reply, and what sends it.

A request is checked when it is built, so that no text in it can begin another header or another request.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

_METHOD = re.compile(r"[A-Z]{1,16}")
_TARGET = re.compile(r"/[A-Za-z0-9._~:/?@!$&'()*+,;=%-]*")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[eE]){1,2}(?:[/?]|\Z)")
"""What whoever reads a path may take for "here" or "one up", and so for another path than was meant."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")
_OF_THE_CONNECTION = frozenset({"connection", "content-length", "host", "transfer-encoding"})
"""Headers that this module alone writes: two of them would let two readers see two different requests."""
_BODILESS = frozenset({"DELETE", "GET", "HEAD"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where connections go: scheme, host and port of a URL."""

    secure: bool
    host: str
    port: int
    authority: str
    """Host and port as the ``Host`` header has them."""

    @property
    def url(self) -> str:
        """The URL that it was read from."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"


@lru_cache(maxsize=4_096)
def parse_origin(text: str) -> Origin:
    """Read ``https://host[:port]``, as ``hosts.check_url`` returns it; ValueError if it is anything else."""
    parts = urlsplit(text)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or text != f"{parts.scheme}://{parts.netloc}":
        raise ValueError("this is no origin")
    if "@" in parts.netloc or not _VALUE.fullmatch(parts.netloc) or " " in parts.netloc:
        raise ValueError("this is no origin")
    port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    return Origin(parts.scheme == "https", parts.hostname, port, parts.netloc)


@dataclass(slots=True)
class HttpRequest:
    """One request to one origin."""

    method: str
    origin: Origin
    target: str
    """Path and query, as they are written."""
    headers: bytes = field(repr=False)
    """Their lines and the empty one behind them."""
    body: bytes = field(repr=False)
    written: bool = False
    """Whether a byte of it may have left on the last try."""


class HttpReply(NamedTuple):
    """What came back, unpacked."""

    status: int
    headers: dict[str, str]
    """By names in lower case, without those that were true of the body only on its way."""
    content: bytes


Grow = Callable[[int], Awaitable[None]]
"""Waits until there is room for a reply of so many bytes."""


class Sender(Protocol):
    """Sends the requests of one org, each once: no redirect, no cookie, no repetition."""

    async def send(self, request: HttpRequest, *, seconds: float, grow: Grow | None = None) -> HttpReply:
        """Send a request and read the whole reply; silence may last so many ``seconds``.

        Raises NeverSent or ReplyLost; whoever cancels this learns from ``request.written`` whether it may have left.
        """

    async def aclose(self) -> None:
        """Close every connection; what is under way on one is lost. It can be used again."""


@lru_cache(maxsize=256)
def _may_be_sent(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name.lower() not in _OF_THE_CONNECTION


def build_http_request(
    method: str, origin: Origin, target: str, headers: Sequence[tuple[str, str]], body: bytes | None
) -> HttpRequest:
    """Check every text of a request and write down its headers.

    Raises ValueError, without the text, for what cannot stand where it would be written.
    """
    if not _METHOD.fullmatch(method):
        raise ValueError("the method is none")
    if not _TARGET.fullmatch(target):
        raise ValueError("the path or query has characters that no URL has")
    if _DOT_SEGMENT.search(target.partition("?")[0]):
        raise ValueError("the path has a segment that leads to another path")
    if not all(_may_be_sent(name) for name, _ in headers):
        raise ValueError("a header has a name that may not be sent")
    if not _VALUE.fullmatch("".join([value for _, value in headers])):
        raise ValueError("a header has characters that may not be sent")
    lines = [f"Host: {origin.authority}\r\n", *[f"{name}: {value}\r\n" for name, value in headers]]
    content = body or b""
    if content or method not in _BODILESS:
        lines.append(f"Content-Length: {len(content)}\r\n")
    lines.append("\r\n")
    return HttpRequest(method, origin, target, "".join(lines).encode("ascii"), content)

"""For whom a proxy forwards a request, by what it says of it: believed where the operator has named it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from orgserver.model.hosts import parse_address
from orgserver.serving.http.addresses import Network

logger = logging.getLogger("orgserver.http")

FORWARDED = b"forwarded"
HEADERS = frozenset({FORWARDED, b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})
_SCHEMES = ("http", "https")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  # a pattern of RFC 9110
_PAIR = re.compile(rf'\s*({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")\s*')
_CACHE = 4_096


class BadForwarding(ValueError):
    """What a proxy says of a request cannot be read, or contradicts itself."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """How a request came to the proxy."""

    source: str
    scheme: str | None = None
    host: str | None = None
    is_proxied: bool = False
    """Whether a proxy of ours sent it."""


class TrustedProxies:
    """The proxies that are believed."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)
        self.holds: Callable[[str], bool] = lru_cache(_CACHE)(self._holds)
        """Whether an address is one of theirs."""
        self._has_warned = False

    def _holds(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self._networks)

    def read(self, peer: str, headers: dict[bytes, bytes]) -> Forwarding:
        """What the headers of forwarding say; nothing where somebody else than a proxy of ours says it."""
        if not self.holds(peer):
            if not HEADERS.isdisjoint(headers):
                self._warn_once(peer)
            return Forwarding(peer)
        if FORWARDED in headers:
            forwarding = self._read_forwarded(peer, headers[FORWARDED])
            rest = headers.get(b"x-forwarded-for")
            if rest is not None and self._find_source(peer, _split_addresses(rest)) != forwarding.source:
                raise BadForwarding("Forwarded and X-Forwarded-For name different sources")
            return forwarding
        source = self._find_source(peer, _split_addresses(headers.get(b"x-forwarded-for", b"")))
        scheme = _last(headers.get(b"x-forwarded-proto"))
        if scheme is not None and scheme not in _SCHEMES:
            raise BadForwarding("X-Forwarded-Proto is neither http nor https")
        return Forwarding(source, scheme, _last(headers.get(b"x-forwarded-host")), is_proxied=True)

    def _find_source(self, peer: str, hops: list[str]) -> str:
        """The right-most hop that is none of our proxies: what stands left of it, anybody may have written."""
        source = peer
        for hop in reversed(hops):
            address = _without_port(hop)
            if address is None:
                return source
            source = address
            if not self.holds(source):
                return source
        return source

    def _read_forwarded(self, peer: str, value: bytes) -> Forwarding:
        """RFC 7239: the element that our outermost proxy added tells of the source."""
        elements = _read_elements(value)
        source = peer
        element: dict[str, str] = {}
        for element in reversed(elements):
            address = _without_port(element.get("for", ""))
            if address is None:
                break
            source = address
            if not self.holds(source):
                break
        scheme = element.get("proto", "").lower() or None
        if scheme is not None and scheme not in _SCHEMES:
            raise BadForwarding("the proto of Forwarded is neither http nor https")
        return Forwarding(source, scheme, element.get("host", "").lower() or None, is_proxied=True)

    def _warn_once(self, peer: str) -> None:
        """Tell the operator of a proxy that is not believed: its every caller seems to be the proxy itself."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s says for whom it forwards requests, and is not believed: --trust-proxy names proxies", peer
            )


def _read_elements(value: bytes) -> list[dict[str, str]]:
    text, position = value.decode("latin-1"), 0
    elements: list[dict[str, str]] = [{}]
    while True:
        match = _PAIR.match(text, position)
        if match is None:
            raise BadForwarding("Forwarded is not in its form")
        name, word = match[1].lower(), match[2]
        if name in elements[-1]:
            raise BadForwarding("Forwarded says the same twice")
        elements[-1][name] = re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word
        position = match.end()
        if position == len(text):
            return elements
        if text[position] == ",":
            elements.append({})
        elif text[position] != ";":
            raise BadForwarding("Forwarded is not in its form")
        position += 1


def _split_addresses(value: bytes) -> list[str]:
    return [hop.strip() for hop in value.decode("latin-1").split(",")] if value else []


def _last(value: bytes | None) -> str | None:
    """What the nearest proxy has written."""
    return value.decode("latin-1").rpartition(",")[2].strip().lower() or None if value is not None else None


def _without_port(hop: str) -> str | None:
    """The address of a hop, with or without its port; None for what is none, as ``unknown``."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    address = parse_address(hop)
    return None if address is None else str(address)

"""Hosts as URLs name them: names of DNS and IP addresses, which of them are this machine, and which the world's."""

from __future__ import annotations

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_MAX_NAME = 253
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is routed between networks (RFC 4291 §2.4)."""
_SITE_BITS = 64
"""Of an address of IPv6: what follows them is its owner's to choose (RFC 4291 §2.5.1)."""
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses of IPv4 as a network that speaks IPv6 alone writes them (RFC 6052)."""


def is_host_name(host: str) -> bool:
    """Whether it is a name in lower case, and no address in disguise, as 127.1, 2130706433 and 0x7f000001 are."""
    labels = host.split(".")
    is_number = labels[-1].isdigit() or labels[-1].startswith("0x")
    return len(host) <= _MAX_NAME and not is_number and all(_LABEL.fullmatch(label) for label in labels)


def parse_address(host: str) -> Address | None:
    """An IP address, one of IPv4 in its own form; None if it is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    address = parse_address(host)
    return address.is_loopback if address is not None else host == "localhost"


def find_network(text: str) -> str:
    """Whose an address is, for counting: whoever has one of IPv6 may use 2^64, so their network stands for all."""
    address = parse_address(text.partition("%")[0])
    if not isinstance(address, ipaddress.IPv6Address):
        return text
    return str(ipaddress.IPv6Network((address, _SITE_BITS), strict=False))


def is_public(text: str) -> bool:
    """Whether an address is one of the whole world's, also by the address of IPv4 that one of IPv6 leads to."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        ipv4 = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            ipv4 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if ipv4 is None:
            return address in _UNICAST and address.is_global
        address = ipv4
    return address.is_global and not address.is_multicast


def bracket(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host

"""Hosts as URLs name them: names of DNS and IP addresses, and which of them are this machine."""

from __future__ import annotations

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_MAX_NAME = 253


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


def bracket(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host

"""Which URLs a token may be sent to: Salesforce's own, and those that an operator has trusted by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from orgserver.model.hosts import DEFAULT_PORTS, bracket, is_host_name, is_loopback, parse_address

SUFFIXES = (
    ".salesforce.com",
    ".force.com",
    ".cloudforce.com",
    ".salesforce.mil",
    ".crmforce.mil",
    ".sfcrmproducts.cn",
    ".sfcrmapps.cn",
)
"""Salesforce's domains; a host must end in one on a label boundary."""

_HTTPS_PORT = DEFAULT_PORTS["https"]
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\<>\"^`{|}]")


class ForeignHost(ValueError):
    """A host that is not Salesforce's, and that nobody has trusted by name."""


def check_url(text: str, trusted: Sequence[str] = ()) -> str:
    """Return the origin ``https://host[:port]`` of a URL that a token may be sent to.

    ``trusted`` are hosts, with their port where it is not 443, that the operator allowed beside Salesforce's own.
    Plain http is only for trusted loopback addresses. Raises ValueError with a reason in one line: ForeignHost where
    trusting the host would help.
    """
    scheme, host, port = _parts(text)
    is_address = _check_host(host)
    host_part = bracket(host)
    name = host_part if port == DEFAULT_PORTS[scheme] else f"{host_part}:{port}"
    if _is_trusted(host_part, port, trusted):
        if scheme == "http" and not is_loopback(host):
            raise ValueError(f"{name} is not on this machine, so it must be https")
        return f"{scheme}://{name}"
    if is_address or not host.endswith(SUFFIXES):
        raise ForeignHost(f"{name} is not one of Salesforce's own hosts")
    if scheme != "https" or port != _HTTPS_PORT:
        raise ValueError(f"{name} must be reached by https on port 443")
    return f"https://{host}"


def is_salesforces(url: str) -> bool:
    """Whether a URL is of Salesforce's own hosts, whatever else an operator trusts."""
    try:
        check_url(url)
    except ValueError:
        return False
    return True


def meant_url(text: str) -> str | None:
    """The URL of a host of Salesforce's own in another scheme, at another port or without any; None if it is none."""
    try:
        return check_url(f"https://{urlsplit('//' + (text.partition('://')[2] or text)).hostname}")
    except ValueError:
        return None


def _parts(text: str) -> tuple[str, str, int]:
    """Scheme, host in lower case, and port."""
    if _UNSAFE.search(text) or not text.isascii():
        raise ValueError("the URL has characters that no Salesforce URL has")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("the URL has a host or port that does not exist") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("the URL must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("the URL must not hold a user name")
    if not parts.hostname:
        raise ValueError("the URL names no host")
    return parts.scheme, parts.hostname.lower(), DEFAULT_PORTS[parts.scheme] if port is None else port


def check_host(text: str) -> str:
    """Read one ``--trust-host`` value, ``HOST`` or ``HOST:PORT``; ValueError if it is neither."""
    name = text.strip().lower()
    try:
        parts = urlsplit(f"//{name}")
        good = bool(parts.hostname) and parts.netloc == name and "@" not in name
        if parts.port is not None and not parts.port > 0:
            good = False
    except ValueError:
        good = False
    if not good or _UNSAFE.search(name) or not name.isascii():
        raise ValueError("a trusted host is HOST or HOST:PORT, without scheme or path")
    _check_host(parts.hostname or "")
    return name


def _is_trusted(host_part: str, port: int, trusted: Sequence[str]) -> bool:
    for each in trusted:
        name = each.lower()
        if name == f"{host_part}:{port}" or (name == host_part and port == _HTTPS_PORT):
            return True
    return False


def _check_host(host: str) -> bool:
    """Whether a host is an address; ValueError where it is no name either."""
    is_address = parse_address(host) is not None
    if not is_address and not is_host_name(host):
        raise ValueError("the URL's host is no valid host name")
    return is_address

"""Addresses, host names, networks and origins as operators write them, each in the one form that is compared."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import SplitResult, urlsplit

from orgserver.model.errors import ConfigError
from orgserver.model.hosts import DEFAULT_PORTS, bracket, is_host_name, is_loopback, parse_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HIGHEST_PORT = 65_535
_URL = re.compile(r"[!-~]+")


def read_address(text: str, option: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; an IPv6 address stands in brackets. ConfigError says what is wrong."""
    if "://" in text:
        raise ConfigError(f"{option} {_without_user(text)} is a URL, no HOST:PORT", hint="127.0.0.1:8080, for example")
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(f"{option} {text}: an IPv6 address stands in brackets", hint="[::1]:8080, for example")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > _HIGHEST_PORT:
        raise ConfigError(f"{option} {text} is no HOST:PORT", hint="127.0.0.1:8080, for example")
    return host, int(port)


def resolve(host: str, option: str = "--http") -> str:
    """The IP address to listen at: an address itself, or ``localhost``, which must mean this machine alone."""
    if host == "localhost":
        return _resolve_localhost(option)
    address = parse_address(host)
    if address is None:
        raise ConfigError(
            f"{option} {host}: the address to listen at is an IP address or localhost",
            hint="0.0.0.0 is every address of this machine; --allow-host names what clients call it",
        )
    return str(address)


def _resolve_localhost(option: str) -> str:
    try:
        entries = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
    except OSError:
        entries = []
    names = [str(entry[4][0]) for entry in entries]
    if not names or not all(is_loopback(name) for name in names):
        raise ConfigError(
            f"{option} localhost: on this machine that name is not the machine itself", hint="give 127.0.0.1 or [::1]"
        )
    return next((name for name in names if ":" not in name), names[0])


def read_public_url(text: str) -> str:
    """Scheme, host and port, and nothing else."""
    origin = _read_origin(text)
    if origin is None:
        raise ConfigError(
            f"--public-url {_without_user(text)} is not scheme and host alone",
            hint="https://orgserver.example.com, for example; MCP is at /mcp of it",
        )
    parts = urlsplit(origin)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigError(f"--public-url {origin}: keys would cross the network in the clear", hint="give https://…")
    return origin


def read_origin(text: str) -> str:
    """What a browser sends as ``Origin``."""
    origin = _read_origin(text)
    if origin is None or origin != text.lower().rstrip("/"):
        raise ConfigError(
            f"--allow-origin {_without_user(text)} is no origin as browsers write it",
            hint="https://app.example.com, for example: scheme, host, and the port where it is not the scheme's own",
        )
    return origin


def read_host(text: str) -> str:
    """``HOST`` or ``HOST:PORT`` as a request names it."""
    parts = _split(f"https://{text}")
    if parts is None or "/" in text:
        raise ConfigError(
            f"--allow-host {_without_user(text)} is no HOST or HOST:PORT", hint="orgserver.example.com, for example"
        )
    host = bracket(parts.hostname or "")
    return host if parts.port is None else f"{host}:{parts.port}"


def read_network(text: str) -> Network:
    """An address or a network of proxies."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ConfigError(
            f"--trust-proxy {_without_user(text)} is no address and no network",
            hint="10.0.0.7 or 10.0.0.0/24, for example",
        ) from None
    if network.prefixlen == 0:
        raise ConfigError(f"--trust-proxy {text} is everybody: anybody could say whose request it is")
    return network


def is_unspecified(text: str) -> bool:
    """Whether it stands for every address of the machine."""
    address = parse_address(text)
    return address is not None and address.is_unspecified


def split_port(host: str) -> tuple[str, int | None]:
    """The parts of ``HOST`` or ``HOST:PORT``."""
    name, colon, port = host.rpartition(":")
    return (name, int(port)) if colon and port.isdigit() and not name.endswith(":") else (host, None)


def _read_origin(text: str) -> str | None:
    parts = _split(text)
    if parts is None or parts.scheme not in DEFAULT_PORTS or parts.path not in ("", "/"):
        return None
    host = bracket(parts.hostname or "")
    if parts.port is None or parts.port == DEFAULT_PORTS[parts.scheme]:
        return f"{parts.scheme}://{host}"
    return f"{parts.scheme}://{host}:{parts.port}"


def _split(text: str) -> SplitResult | None:
    """A URL without user, query and fragment, of a host that can exist."""
    if not _URL.fullmatch(text) or any(each in text for each in "@?#\\%"):
        return None
    try:
        parts = urlsplit(text)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return None
    host = parts.hostname or ""
    is_host = parse_address(host) is not None or is_host_name(host)
    return parts if has_port and not parts.netloc.endswith(":") and is_host else None


def _without_user(text: str) -> str:
    """Without what stands before an @: that may be a password."""
    return text.rpartition("@")[2] if "@" in text else text

"""What a server on HTTP was told: where it listens, how it is reached, and whom it trusts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from orgserver.model.errors import ConfigError

MAX_BODY = 1024 * 1024
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Options of ``serve --http``."""

    host: str
    port: int
    max_body: int = MAX_BODY
    """Of a request, in bytes."""
    rate: float = 60.0
    """Requests of a principal in a second."""
    in_flight: int = 16
    """Requests of a principal at once."""
    metrics: tuple[str, int] | None = None
    """Host and port where figures are read without a key."""
    issuer: str | None = None
    """Whose access tokens are taken beside API keys: its name to the letter."""
    audience: str | None = None
    """Whom those must be for."""


def read_address(text: str, option: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; an IPv6 address stands in brackets. ConfigError says what is wrong."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError(f"{option} {text}: an IPv6 address stands in brackets", hint="[::1]:8080, for example")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > _HIGHEST_PORT:
        raise ConfigError(f"{option} {text} is no HOST:PORT", hint="127.0.0.1:8080, for example")
    return host, int(port)


def refuse_open_address(host: str) -> None:
    """ConfigError for an address that others than this machine reach, while nothing encrypts what comes there."""
    if host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback):
        return
    raise ConfigError(
        f"--http {host}: keys would cross the network in the clear",
        hint="listen on 127.0.0.1; TLS is needed on any other address",
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

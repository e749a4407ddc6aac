"""Which URLs of an issuer are fetched: its own, and keys where it says they are, but never what only this machine sees.

An issuer is the operator's choice; where its keys and endpoints are is the issuer's, and it may lie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from orgserver.model.hosts import DEFAULT_PORTS, bracket, is_host_name, is_loopback, parse_address

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\<>\"^`{|}]")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*/?")
_MAX_URL = 2_048


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL in its parts, of which each was checked."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> str:
        """``https://host[:port]``."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """``host[:port]``."""
        return bracket(self.host) + (f":{self.port}" if self.port != DEFAULT_PORTS[self.scheme] else "")

    @property
    def text(self) -> str:
        """What is fetched."""
        return self.origin + self.path + (f"?{self.query}" if self.query else "")

    def text_at(self, address: str) -> str:
        """The same at an address that its host has."""
        return replace(self, host=address).text

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine by name."""
        return is_loopback(self.host)


def check_issuer(text: str) -> CheckedUrl:
    """Read the URL of an issuer, by https unless it is on this machine; ValueError says what is wrong with it."""
    url = _read_url(text)
    if url.query or "?" in text:
        raise ValueError("an issuer has no query")
    return url


def check_endpoint_url(text: str, issuer: CheckedUrl) -> CheckedUrl:
    """Read where an issuer says that its keys are, or an endpoint of it; ValueError where it may not send us.

    At its own origin; on this machine if it is there itself; else by https on port 443 of a name.
    """
    url = _read_url(text)
    if url.origin == issuer.origin or (url.is_loopback and issuer.is_loopback):
        return url
    if url.is_loopback or url.scheme != "https" or url.port != DEFAULT_PORTS["https"]:
        raise ValueError(f"{url.origin} is an address that another host may not name")
    return url


def check_client_id(text: str, *, may_be_loopback: bool) -> CheckedUrl:
    """Read the URL that is a client's id and says what the client is; ValueError where it may not send us.

    In the one spelling that it has, for ids are compared to the letter. By https also on this machine, which it may
    name only where it ``may_be_loopback``.
    """
    url = _read_url(text)
    if url.scheme != "https" or url.text != text or url.path in ("", "/"):
        raise ValueError("a client's id is an https URL with a path, its host in lower case, without a needless port")
    if url.is_loopback and not may_be_loopback:
        raise ValueError("a client's id does not name this machine")
    if not url.is_loopback and url.port != DEFAULT_PORTS["https"]:
        raise ValueError("a client's id names no port")
    return url


def find_metadata_urls(issuer: CheckedUrl) -> list[CheckedUrl]:
    """Where an issuer's metadata may be, in the order of MCP: RFC 8414, OpenID Connect in its form, and in its own."""
    path = issuer.path.rstrip("/")
    kinds = ("oauth-authorization-server", "openid-configuration")
    paths = [f"/.well-known/{kind}{path}" for kind in kinds]
    if path:
        paths.append(f"{path}/.well-known/openid-configuration")
    return [replace(issuer, path=each) for each in paths]


def find_openid_urls(issuer: CheckedUrl) -> list[CheckedUrl]:
    """Where the metadata of an OpenID Connect provider may be: in its own form first."""
    own = replace(issuer, path=issuer.path.rstrip("/") + "/.well-known/openid-configuration")
    return [own, *(each for each in find_metadata_urls(issuer) if each != own)]


def _read_url(text: str) -> CheckedUrl:
    if len(text) > _MAX_URL or _UNSAFE.search(text) or not text.isascii():
        raise ValueError("the URL has characters that no issuer's URL has, or too many")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("the URL has a host or port that does not exist") from None
    if parts.scheme not in DEFAULT_PORTS or not text.startswith(f"{parts.scheme}://"):
        raise ValueError("the URL must begin with https://")
    if "@" in parts.netloc or "%" in parts.netloc or "#" in text:
        raise ValueError("the URL must hold no user name, no fragment, and a plain host")
    host = (parts.hostname or "").lower()
    _check_host(host)
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("the URL must be https, for it is not on this machine")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("the URL has a host or port that does not exist")
    if not _PATH.fullmatch(parts.path) or any(step in (".", "..") for step in parts.path.split("/")):
        raise ValueError("the URL has a path that no issuer has")
    return CheckedUrl(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme], parts.path, parts.query)


def _check_host(host: str) -> None:
    if is_loopback(host):
        return
    if parse_address(host) is not None:
        raise ValueError("the URL's host is an address, not a name")
    if not is_host_name(host):
        raise ValueError("the URL's host is no host name")

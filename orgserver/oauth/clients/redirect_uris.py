"""Where a client may have people sent back to, and whether a request means a place that the client has named.

Compared to the letter (RFC 9700 §2.1), but for the port of an address on the person's own machine, which a client
cannot know beforehand (RFC 8252 §7.3).
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from orgserver.model.hosts import DEFAULT_PORTS, bracket, is_host_name, is_loopback, parse_address

LONGEST = 2_048
"""Characters of one."""
_LAST_PORT = 65_535
_STEP = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*"
_QUERY = r"(?:[A-Za-z0-9._~!$&()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
_URI = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    rf"(?P<path>(?:/{_STEP})*)(?:\?(?P<query>{_QUERY}))?"
)
_LOOPBACK = re.compile(
    r"http://(?P<host>localhost|127\.0\.0\.1|\[::1\])(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>(?:[/?].*)?)"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)
_OURS = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})
"""Parameters that an answer has: one that is there already would be there twice."""


def check_redirect_uri(text: str) -> None:
    """Refuse what no client may register; ValueError says what is wrong with it."""
    if len(text) > LONGEST:
        raise ValueError(f"a redirect URI has at most {LONGEST:,} characters")
    if "#" in text:
        raise ValueError("a redirect URI has no fragment")
    if not text.startswith(("https://", "http://")):
        raise ValueError("a redirect URI begins with https://, or with http:// on the person's own computer")
    parts = _URI.fullmatch(text)
    if parts is None:
        raise ValueError("a redirect URI has a host in lower case, no user name, and no characters that URLs encode")
    _check_authority(parts["scheme"], parts["host"], parts["port"])
    if any(_DOTS.fullmatch(step) for step in parts["path"].split("/")):
        raise ValueError("a redirect URI's path has no steps . and ..")
    if any(name in _OURS for name, _ in parse_qsl(parts["query"] or "", keep_blank_values=True)):
        raise ValueError("a redirect URI's query has no parameter that the answer adds")


def has_own_scheme(text: str) -> bool:
    """Whether it is of a scheme that programs claim, as ``cursor://`` is: any other program may claim it, too."""
    scheme = _SCHEME.match(text)
    return scheme is not None and scheme[0].lower() not in DEFAULT_PORTS


def is_same_redirect(requested: str, registered: str) -> bool:
    """Whether a request names the place that a client has registered."""
    if requested == registered:
        return True
    here, there = _LOOPBACK.fullmatch(requested), _LOOPBACK.fullmatch(registered)
    if here is None or there is None or int(here["port"] or 0) > _LAST_PORT:
        return False
    return here["host"] == there["host"] and here["rest"] == there["rest"]


def is_on_this_computer(uri: str) -> bool:
    """Whether it leads to the person's own computer, where any program may listen."""
    return is_loopback(_find_host(uri))


def host_of(uri: str) -> str:
    """The host of one that was checked, for people to read; with its port where that is chosen for good."""
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise ValueError("this is no redirect URI")
    has_own_port = parts["port"] is not None and not is_on_this_computer(uri)
    return f"{parts['host']}:{parts['port']}" if has_own_port else str(parts["host"])


def _find_host(uri: str) -> str:
    parts = _URI.fullmatch(uri)
    return parts["host"].strip("[]") if parts is not None else ""


def _check_authority(scheme: str, host: str, port: str | None) -> None:
    if scheme == "http" and host not in ("localhost", "127.0.0.1", "[::1]"):
        raise ValueError("a redirect URI is https, but for http to localhost, 127.0.0.1 or [::1]")
    address = parse_address(host.strip("[]"))
    if bracket(str(address)) != host and (address is not None or not is_host_name(host)):
        raise ValueError("a redirect URI's host is a host name, or an address in its usual form")
    if port is not None and (port.startswith("0") or int(port) > _LAST_PORT or int(port) == DEFAULT_PORTS[scheme]):
        raise ValueError("a redirect URI's port is one that exists, and not said where it is the scheme's own")

"""What every request must show before anything of it is read: whom it was sent to, from where, and by which way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

from orgserver.model.hosts import DEFAULT_PORTS, bracket, is_loopback, parse_address
from orgserver.serving.http import proxies
from orgserver.serving.http.addresses import is_unspecified, split_port
from orgserver.serving.http.options import HttpOptions
from orgserver.serving.http.proxies import BadForwarding, Forwarding, TrustedProxies
from orgserver.serving.http.replies import WRONG_HOST, Headers, Reply, make_error_reply, make_not_found_reply

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HTTPS = "https"
_CACHE = 4_096
"""Addresses that are not parsed anew at each request."""
_PREFLIGHT = b"access-control-request-method"
_FETCH_SITE = b"sec-fetch-site"
_NAMES = proxies.HEADERS | {b"host", b"origin", _FETCH_SITE, _PREFLIGHT}
_HEADERS_OF_PAGES = (
    b"authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name, mcp-param-org, "
    b"mcp-session-id, last-event-id, traceparent, tracestate"
)
_PREFLIGHT_HEADERS: Headers = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", _HEADERS_OF_PAGES),
    (b"access-control-max-age", b"600"),
)
_NO_HEADERS: dict[bytes, bytes] = {}

_WRONG_HOST = make_error_reply(421, WRONG_HOST)
_WRONG_ORIGIN = make_error_reply(403, "requests from this origin are not allowed")
_WRONG_PATH = make_not_found_reply()
_IN_THE_CLEAR = make_error_reply(403, "this request came unencrypted: use https")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may come in."""

    source: str
    """The address that it came from; behind a proxy that is trusted, the one that the proxy tells."""
    scheme: str = "http"
    """That its client speaks."""
    host: str = ""
    """With its port, as its client names it."""
    cors: Headers = ()
    """What the answer must say for a web page to be allowed to read it."""

    @property
    def url(self) -> str:
        """The server's, as its client names it."""
        return f"{self.scheme}://{self.host}"


class Door:
    """Compares the host and origin that a request names, exactly, with those that are allowed.

    ``form_paths`` are where forms of pages for people lead, or begin the paths.
    """

    def __init__(self, options: HttpOptions, form_paths: tuple[str, ...] = ()) -> None:
        self._form_paths = form_paths
        self._scheme = _HTTPS if options.tls_cert is not None else "http"
        public = urlsplit(options.url)
        self._public_scheme = public.scheme
        self._public_host = public.netloc if options.public_url is not None else None
        self._proxies = TrustedProxies(options.trusted_proxies)
        self._is_loopback = lru_cache(_CACHE)(is_loopback)
        self._hosts = _hosts(options, self._scheme)
        self.hosts = frozenset(host.decode() for host in self._hosts)
        """What a request may name this server, with the port where that is not the scheme's own."""
        self._pages = frozenset(origin.encode() for origin in options.allowed_origins)
        own = {f"{scheme}://".encode() + host for scheme in (self._scheme, self._public_scheme) for host in self._hosts}
        if self._public_scheme == _HTTPS:  # what stands under the public name in the clear, anybody on the way wrote
            own -= {f"http://{host}".encode() for host in _public_forms(options)}
        self._origins = self._pages | own
        self._follow_direct = lru_cache(_CACHE)(self._follow)
        """Remembers what became of requests with no more than a peer and a host: there are few of those."""

    def admit(self, scope: Scope) -> Admitted | Reply:
        """Let a request in, or say why not."""
        headers = _read_headers(scope)
        host = headers.get(b"host", b"").lower()
        if host not in self._hosts:
            return _WRONG_HOST
        if b"%" in scope["raw_path"]:
            return _WRONG_PATH
        origin = headers.get(b"origin")
        if origin is not None and origin not in self._origins and not self._is_own_form(scope, headers):
            return _WRONG_ORIGIN
        cors = _allow_reading(origin) if origin is not None and origin in self._pages else ()
        if cors and _PREFLIGHT in headers and scope["method"] == "OPTIONS":
            return Reply(204, headers=cors + _PREFLIGHT_HEADERS)
        client = scope.get("client")
        peer = client[0] if client else ""
        if len(headers) == 1:
            return self._follow_direct(peer, host)
        return self._follow(peer, host, headers, cors)

    def _is_own_form(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        """Whether a form of a page of ours was sent, whose referrer policy leaves no origin.

        The browser says whose it is, which no page can (``Sec-Fetch-Site``); what the form brings is checked as well.
        """
        if headers.get(b"origin") != b"null" or headers.get(_FETCH_SITE) != b"same-origin":
            return False
        path: str = scope["path"]
        return scope["method"] == "POST" and path.startswith(self._form_paths)

    def _follow(
        self, peer: str, host: bytes, headers: dict[bytes, bytes] = _NO_HEADERS, cors: Headers = ()
    ) -> Admitted | Reply:
        """Let a request in that came by a way which is allowed."""
        peer = _plain(peer)
        try:
            forwarding = self._proxies.read(peer, headers)
        except BadForwarding as error:
            return make_error_reply(400, str(error))
        scheme = self._find_scheme(peer, forwarding)
        if scheme is None:
            return _IN_THE_CLEAR
        if forwarding.host is not None and forwarding.host.encode("latin-1", "replace") not in self._hosts:
            return _WRONG_HOST
        name = forwarding.host or (self._public_host if forwarding.is_proxied else None) or host.decode("latin-1")
        return Admitted(forwarding.source, scheme, name, cors)

    def _find_scheme(self, peer: str, forwarding: Forwarding) -> str | None:
        """What the client speaks; None where a key would have crossed a network in the clear."""
        if self._scheme == _HTTPS:
            return _HTTPS
        if forwarding.is_proxied:
            scheme = forwarding.scheme or self._public_scheme
            return None if scheme != _HTTPS == self._public_scheme and forwarding.source != peer else scheme
        return "http" if self._is_loopback(peer) else None


def _read_headers(scope: Scope) -> dict[bytes, bytes]:
    """Those that are looked at; one that comes twice is a list, which is no host and no origin."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _NAMES:
            headers[name] = value if name not in headers else headers[name] + b"," + value
    return headers


def _hosts(options: HttpOptions, scheme: str) -> frozenset[bytes]:
    """Every host that a request may name, with its port where that is not the scheme's own, and also where it is."""
    address = bracket(options.host)
    names = {address}
    if is_loopback(options.host):
        names |= set(_LOOPBACK)
    elif is_unspecified(options.host):
        names = set(_LOOPBACK)
    hosts = {host for name in names for host in _forms(name, options.port, scheme)}
    public = urlsplit(options.url)
    hosts |= _public_forms(options)
    for host in options.allowed_hosts:
        name, port = split_port(host)
        ports = (options.port, DEFAULT_PORTS[public.scheme]) if port is None else (port,)
        hosts |= {form for each in ports for form in _forms(name, each, public.scheme)}
    return frozenset(host.encode() for host in hosts)


def _public_forms(options: HttpOptions) -> set[str]:
    public = urlsplit(options.url)
    if options.public_url is None or public.hostname is None:
        return set()
    return _forms(bracket(public.hostname), public.port or DEFAULT_PORTS[public.scheme], public.scheme)


def _forms(name: str, port: int, scheme: str) -> set[str]:
    return {f"{name}:{port}", name} if port == DEFAULT_PORTS[scheme] else {f"{name}:{port}"}


def _plain(peer: str) -> str:
    """An address of IPv4 in its own form, also where it came in by an IPv6 socket."""
    if not peer.startswith("::ffff:"):
        return peer
    address = parse_address(peer)
    return peer if address is None else str(address)


def _allow_reading(origin: bytes) -> Headers:
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"www-authenticate, retry-after"),
        (b"vary", b"origin"),
    )

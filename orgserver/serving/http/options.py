"""What a server on HTTP was told: where it listens, how it is reached, and whom it trusts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orgserver.model.errors import ConfigError
from orgserver.model.hosts import bracket, is_loopback
from orgserver.serving.http import addresses
from orgserver.serving.http.addresses import Network
from orgserver.serving.http.bearer.issuers import refuse_bad_issuer
from orgserver.serving.http.certificates import Certificate, read_host_names

MAX_BODY = 1024 * 1024
RATE, IN_FLIGHT = 60.0, 16
SESSION_HOURS = 12.0
_HTTPS = "https://"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Options of ``serve --http``."""

    host: str
    """The IP address that is listened at."""
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_url: str | None = None
    """Scheme, host and port by which clients reach it, where that is not the address itself."""
    trusted_proxies: tuple[Network, ...] = ()
    """Who is believed when it says for whom it forwards a request."""
    allowed_hosts: tuple[str, ...] = ()
    """``HOST`` or ``HOST:PORT`` that requests may name beside the address and the public URL."""
    allowed_origins: tuple[str, ...] = ()
    """Of web pages that may call."""
    max_body: int = MAX_BODY
    """Of a request, in bytes."""
    rate: float = RATE
    """Requests of a principal in a second."""
    in_flight: int = IN_FLIGHT
    """Requests of a principal at once."""
    metrics: tuple[str, int] | None = None
    """Host and port where figures are read without a key."""
    issuer: str | None = None
    """Whose access tokens are taken beside API keys: its name to the letter."""
    audience: str | None = None
    """Whom those must be for."""
    allow_registration: bool = False
    """Whether clients of own sign-in may register themselves."""
    match_email: bool = False
    """Whether a verified address finds the principal of that name, the first time."""
    session_hours: float = SESSION_HOURS
    """How long a session lasts where the identity provider gives no refresh token."""

    @property
    def url(self) -> str:
        """How clients reach it."""
        if self.public_url is not None:
            return self.public_url
        scheme = "https" if self.tls_cert is not None else "http"
        return f"{scheme}://{bracket(self.host)}:{self.port}"


def read_options(
    address: str,
    *,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    public_url: str | None = None,
    trusted_proxies: Iterable[str] = (),
    allowed_hosts: Iterable[str] = (),
    allowed_origins: Iterable[str] = (),
    max_body: int = MAX_BODY,
    rate: float = RATE,
    in_flight: int = IN_FLIGHT,
    metrics: str | None = None,
    issuer: str | None = None,
    audience: str | None = None,
    allow_registration: bool = False,
    match_claim: str | None = None,
    session_hours: float | None = None,
) -> HttpOptions:
    """Read what the operator gave; ConfigError for what is wrong by itself or together."""
    host, port = addresses.read_address(address, "--http")
    certificate, key = _read_pair(tls_cert, tls_key)
    names = tuple(addresses.read_host(each) for each in allowed_hosts)
    if certificate is not None:
        names += read_host_names(certificate)
    options = HttpOptions(
        host=addresses.resolve(host),
        port=port,
        tls_cert=certificate,
        tls_key=key,
        public_url=addresses.read_public_url(public_url) if public_url is not None else None,
        trusted_proxies=tuple(addresses.read_network(each) for each in trusted_proxies),
        allowed_hosts=names,
        allowed_origins=tuple(addresses.read_origin(each) for each in allowed_origins),
        max_body=max_body,
        rate=rate,
        in_flight=in_flight,
        metrics=addresses.read_address(metrics, "--metrics") if metrics is not None else None,
        issuer=issuer,
        audience=audience,
        allow_registration=allow_registration,
        match_email=match_claim is not None,
        session_hours=SESSION_HOURS if session_hours is None else session_hours,
    )
    _refuse_clear_text(options)
    _refuse_unreachable(options)
    refuse_bad_issuer(issuer, audience, options.url)
    return options


def _read_pair(tls_cert: str | None, tls_key: str | None) -> tuple[Path, Path] | tuple[None, None]:
    if tls_cert is None and tls_key is None:
        return None, None
    if tls_key is None:
        raise ConfigError("--tls-cert needs --tls-key: a certificate serves nothing without its private key")
    if tls_cert is None:
        raise ConfigError("--tls-key needs --tls-cert: a private key serves nothing without its certificate")
    certificate, key = Path(tls_cert).absolute(), Path(tls_key).absolute()
    Certificate(certificate, key).warn_of_dates()
    return certificate, key


def _refuse_clear_text(options: HttpOptions) -> None:
    """ConfigError where keys would cross a network that nothing encrypts."""
    if options.tls_cert is not None:
        if options.public_url is not None and not options.public_url.startswith(_HTTPS):
            raise ConfigError(
                f"--public-url {options.public_url} is no https, and --tls-cert makes this server speak it"
            )
        return
    is_encrypted_outside = options.public_url is not None and options.public_url.startswith(_HTTPS)
    if is_encrypted_outside and not options.trusted_proxies:
        raise ConfigError(
            f"--public-url {options.public_url} is https, and nothing here speaks it",
            hint="--trust-proxy ADDRESS names the proxy that does; or give --tls-cert and --tls-key",
        )
    if not is_loopback(options.host) and not is_encrypted_outside:
        raise ConfigError(
            f"--http {options.host}: keys would cross the network in the clear",
            hint="give --tls-cert and --tls-key, or --public-url https://… with --trust-proxy; or listen on 127.0.0.1",
        )


def _refuse_unreachable(options: HttpOptions) -> None:
    """ConfigError for a server on every address that is told no name of its own: it would turn everybody away."""
    if addresses.is_unspecified(options.host) and options.public_url is None and not options.allowed_hosts:
        raise ConfigError(
            f"--http {options.host}: by which name clients reach it is not known",
            hint="--public-url https://NAME[:PORT], or --allow-host NAME",
        )

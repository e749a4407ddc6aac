"""Where the settings say that the store lies."""

from __future__ import annotations

import ipaddress
from hashlib import sha256
from ssl import SSLContext, SSLError

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from orgserver.config import Settings
from orgserver.model.errors import ConfigError
from orgserver.store.engines.address import FileAddress, ServerAddress, StoreAddress, hosts
from orgserver.vault.database_password import password_source

_OPTIONS = frozenset({"host", "sslmode"})
_VERIFIED = "verify-full"
_PLAIN = "disable"
_LAST_PORT = 65_535
_FORM = "give postgresql+asyncpg://USER@HOST:PORT/DATABASE"


def find_address(settings: Settings) -> StoreAddress:
    """The file, or the database of a server; ConfigError where a URL names neither."""
    return find_server(settings) if settings.is_on_server else FileAddress(settings.database_file)


def find_server(settings: Settings) -> ServerAddress:
    """The database of a server; as above."""
    url = _read(settings.database_url or "")
    try:
        places = hosts(url)
    except ValueError:
        raise _refusal("a port in it is no number") from None
    if any(not 0 < port <= _LAST_PORT for _, port in places):
        raise _refusal(f"a port in it is none from 1 to {_LAST_PORT}")
    if not places or not url.database:
        raise _refusal("it names no host" if not places else "it names no database")
    digest = sha256(repr((sorted(places), url.database)).encode()).hexdigest()[:8]
    return ServerAddress(
        url,
        settings.home / f"postgresql-{digest}",
        password_source(settings),
        _find_tls(url, [host for host, _ in places], settings),
    )


def _read(text: str) -> URL:
    try:
        url = make_url(text).set(password=None)
    except (ArgumentError, ValueError):
        raise _refusal("it is no URL") from None
    if not _OPTIONS.issuperset(url.query):
        raise _refusal("it has another option than host and sslmode after a ?")
    return url


def _find_tls(url: URL, hosts: list[str], settings: Settings) -> SSLContext | None:
    """What checks the server; nothing leaves this machine unchecked."""
    mode = url.query.get("sslmode")
    if mode not in (None, _VERIFIED, _PLAIN):
        raise _refusal(f"sslmode is {_VERIFIED}, or {_PLAIN} for a server on this machine")
    is_here = all(map(_is_local, hosts))
    if mode == _PLAIN and not is_here:
        raise _refusal(f"sslmode={_PLAIN} is for a server on this machine: this one's certificate is checked")
    if is_here and mode != _VERIFIED:
        return None
    from orgserver.tls import build_tls_context  # noqa: PLC0415  # only for a server elsewhere

    try:
        return build_tls_context(settings.ca_file)
    except (OSError, SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"ORGSERVER_CA_FILE {settings.ca_file} cannot be read: {reason}") from None


def _is_local(host: str) -> bool:
    """Whether a host is this machine, or the folder of a socket."""
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(reason: str) -> ConfigError:
    return ConfigError(f"ORGSERVER_DATABASE_URL is not a database this version can use: {reason}", hint=_FORM)

"""Where a store lies: in a SQLite file, or in a database of a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext

from sqlalchemy import URL


@dataclass(frozen=True, slots=True)
class FileAddress:
    """A SQLite file."""

    file: Path

    @property
    def beside(self) -> Path:
        """The path whose name begins those of what is kept beside the database."""
        return self.file

    def __str__(self) -> str:
        return str(self.file)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A database of a PostgreSQL server; how it is named tells no password."""

    url: URL
    """Without a password."""
    beside: Path
    """In this machine's own folder: the path whose name begins those of what is kept beside the database."""
    find_password: Callable[[], str] | None = field(default=None, repr=False)
    """Asked at each connection, so that a password that was changed is found."""
    tls: SSLContext | None = field(default=None, repr=False)
    """Checks the server's certificate and name; None where the server is this machine's own."""

    def __str__(self) -> str:
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)


StoreAddress = FileAddress | ServerAddress


_PORT = 5432


def hosts(url: URL) -> list[tuple[str, int]]:
    """The hosts of a server's URL, each with its port: one in its own place, or several in its query; ValueError."""
    if url.host:
        return [(url.host, url.port or _PORT)]
    several = url.query.get("host", ())
    return [_split(each, url.port or _PORT) for each in ([several] if isinstance(several, str) else several)]


def _split(host: str, default: int) -> tuple[str, int]:
    """``name``, ``name:port``, ``[::1]:port``, or the folder of a socket."""
    name, separator, port = host.rpartition(":")
    if host.startswith("/") or not separator or (":" in name and not name.endswith("]")):
        return host.strip("[]"), default
    return name.strip("[]"), int(port)

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
        return self.url.render_as_string(hide_password=True)


StoreAddress = FileAddress | ServerAddress

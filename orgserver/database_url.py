"""What ORGSERVER_DATABASE_URL says: a SQLite file, or a database of a PostgreSQL server. No message holds any of it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from orgserver.model.errors import ConfigError

SERVER_SCHEMES = ("postgresql", "postgresql+asyncpg")
_SQLITE_SCHEMES = ("sqlite", "sqlite+aiosqlite")
_PASSWORD = re.compile(
    r"""(?P<before>
        [^/?#:]+:/+[^/?#:@]*(?:@[^/?#:]*(?=:(?!\d*(?:[/?#]|$))))?  # the user's name may hold an @, as some clouds' do
        |(?:[^/?#:]+:)?[^/?#:@]+(?=:[^/])  # a scheme, or its slashes, forgotten
    ):(?P<password>.*)(?P<after>@[^@]*)""",
    re.DOTALL | re.VERBOSE,
)
"""A password ends at the last ``@``: one with an @, / or ? that was not written as %40, %2F or %3F is found, too."""
_SECRET_OPTION = re.compile(r"(?i)([?&][^=&#]*(?:passw|pwd|secret|token|key)[^=&#]*=)[^&#]+")


def is_server(url: str | None) -> bool:
    """Whether a URL names a server."""
    return url is not None and url.partition("://")[0] in SERVER_SCHEMES


def sqlite_file(url: str) -> Path:
    """The file that a URL names; ConfigError where it names none."""
    scheme, _, rest = url.partition("://")
    if is_server(url):
        raise ConfigError(
            "this is for a store in a SQLite file, and ORGSERVER_DATABASE_URL names a server",
            hint="see docs/postgresql.md for how it is done there",
        )
    path = unquote(rest[1:])
    is_sqlite = scheme in _SQLITE_SCHEMES and rest.startswith("/")
    if not is_sqlite or path in ("", ":memory:") or "\0" in path:
        meant = "did you mean postgresql+asyncpg://…? " if scheme.startswith("postgres") else ""
        raise ConfigError(
            "ORGSERVER_DATABASE_URL is not a database this version can use",
            hint=f"{meant}give postgresql+asyncpg://USER@HOST/DATABASE or sqlite+aiosqlite:////absolute/path/orgserver.db,"
            " or leave it out",
        )
    if "?" in rest:
        raise ConfigError(
            "ORGSERVER_DATABASE_URL has options after a ?, and SQLite takes none here",
            hint="take them away; a ? in the name of a folder is written %3F in a URL, and a % is written %25",
        )
    return Path(path)


def take_password(url: str) -> tuple[str, str | None]:
    """A URL without its secrets, and the password where people write one, whether or not the URL can be used."""
    scheme, _, rest = url.partition("://")
    if scheme in _SQLITE_SCHEMES and rest.startswith("/"):
        return url, None
    found = _PASSWORD.fullmatch(url)
    bare = url if found is None else found["before"] + found["after"]
    password = None if found is None else unquote(found["password"])
    return _SECRET_OPTION.sub(r"\1***", bare), password or None


def take_password_out(environment: dict[str, str]) -> None:
    """Put the password of the URL among some settings where it is kept as a secret; ConfigError where there are two."""
    url, password = take_password(environment.get("database_url", ""))
    if url:
        environment["database_url"] = url
    if password is None:
        return
    if "database_password" in environment:
        hint = "correct the variable, or unset it"
        raise ConfigError("ORGSERVER_DATABASE_URL and ORGSERVER_DATABASE_PASSWORD both give a password", hint=hint)
    environment["database_password"] = password


def refuse_password(url: object, path: Path) -> None:
    """Refuse a URL with a password that stands in a file."""
    if isinstance(url, str) and take_password(url)[1] is not None:
        raise ConfigError(
            f"database_url in {path} holds a password, and secrets may not stand in a file of plain settings",
            hint="take it out there, and name a file or a program that has it: ORGSERVER_DATABASE_PASSWORD_FILE",
        )

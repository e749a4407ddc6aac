"""What a token or a cookie opens, read at each request: one row, so that its end acts at once in every process."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Row, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.store.catalog_version import StoreReader
from orgserver.store.signin import tables
from orgserver.store.signin.rows import Session, read_session
from orgserver.store.transaction import PreparedStatement

_sessions, _tokens = tables.sessions, tables.tokens
_ACCESS = (
    select(
        _sessions.c.principal,
        _tokens.c.scopes,
        _tokens.c.session_id,
        _sessions.c.client_id,
        _sessions.c.resource,
        _tokens.c.expires_at,
        _sessions.c.expires_at.label("session_expires_at"),
        _sessions.c.ended_at,
    )
    .join_from(_tokens, _sessions, _sessions.c.id == _tokens.c.session_id)
    .where(_tokens.c.digest == bindparam("digest", type_=_tokens.c.digest.type), _tokens.c.kind == bindparam("kind"))
)
_PREPARED = PreparedStatement(_ACCESS)


@dataclass(frozen=True, slots=True)
class LiveToken:
    """An access token that is kept, and what its session says of it. Times are microseconds since 1970 UTC."""

    principal: str
    scopes: tuple[str, ...]
    session_id: str
    client_id: str | None
    resource: str | None
    expires_at: int
    """Of the token, or of its session if that is earlier."""
    ended_at: int | None
    """Of the session: from then on the token opens nothing."""


class ReadableDatabase(Protocol):
    """The open store, as far as it is read here."""

    @property
    def version_reader(self) -> StoreReader:
        """Reads single rows, as they are at that moment."""

    @property
    def clock(self) -> Callable[[], int]:
        """Gives the present instant."""

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for reading."""


class TokenReader:
    """Finds access tokens and browsers' sessions by their digests. StoreError where the store cannot be read."""

    def __init__(self, database: ReadableDatabase) -> None:
        self._database = database

    async def find_access(self, digest: bytes) -> LiveToken | None:
        """An access token, also one that has run out or whose session is over."""
        reader = self._database.version_reader
        rows = reader.fetch(_PREPARED, digest=digest, kind="access")
        if rows is None:
            rows = await reader.ask(_PREPARED, digest=digest, kind="access")
        return _read(rows[0]) if rows else None

    async def find_browser(self, cookie_digest: bytes) -> Session | None:
        """The live session of a browser at /me."""
        query = select(_sessions).where(_sessions.c.cookie_digest == cookie_digest, _sessions.c.kind == "browser")
        async with self._database.reading() as connection:
            row: Row[Any] | None = (await connection.execute(query)).first()
        session = read_session(row) if row is not None else None
        return session if session is not None and session.is_live(self._database.clock()) else None


def _read(row: tuple[Any, ...]) -> LiveToken:
    principal, scopes, session_id, client_id, resource, expires_at, session_expires_at, ended_at = row
    return LiveToken(
        principal,
        tuple(json.loads(scopes)),
        session_id,
        client_id,
        resource,
        min(expires_at, session_expires_at),
        ended_at,
    )

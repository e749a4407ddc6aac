"""Codes, access tokens and refresh tokens of sessions: a digest each, so that whoever reads the store can use none."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, delete, exists, insert, select, update

from orgserver.store.signin import tables
from orgserver.store.signin.rows import Session, read_session
from orgserver.store.transaction import Transaction

Kind = Literal["code", "access", "refresh"]
_sessions, _tokens = tables.sessions, tables.tokens


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it is kept, whether or not it still opens anything. Times are microseconds since 1970 UTC."""

    digest: bytes
    kind: Kind
    session: Session
    scopes: tuple[str, ...]
    code_challenge: str | None
    """Of a code, as its redirect URI: what its client must show."""
    redirect_uri: str | None
    created_at: int
    expires_at: int
    used_at: int | None
    used_by: str | None
    """The attempt that spent it."""


def add_in(
    tx: Transaction,
    kind: Kind,
    digest: bytes,
    session_id: str,
    scopes: Iterable[str],
    expires_at: int,
    *,
    code_challenge: str | None = None,
    redirect_uri: str | None = None,
) -> None:
    """Keep a new token of a session."""
    values = {
        "digest": digest,
        "session_id": session_id,
        "kind": kind,
        "scopes": json.dumps(list(scopes)),
        "code_challenge": code_challenge,
        "redirect_uri": redirect_uri,
        "created_at": tx.now,
        "expires_at": expires_at,
    }
    tx.connection.execute(insert(_tokens).values(values))


def find_in(tx: Transaction, digest: bytes) -> StoredToken | None:
    """A token with its session; None if there is none of this digest."""
    row = tx.connection.execute(select(_tokens).where(_tokens.c.digest == digest)).first()
    if row is None:
        return None
    session = tx.connection.execute(select(_sessions).where(_sessions.c.id == row.session_id)).one()
    return _read(row, read_session(session))


def spend_in(tx: Transaction, digest: bytes, by: str) -> bool:
    """Use a code or a refresh token, once; False if it was used or there is none."""
    unused = (_tokens.c.digest == digest, _tokens.c.used_at.is_(None))
    return tx.connection.execute(update(_tokens).where(*unused).values(used_at=tx.now, used_by=by)).rowcount == 1


def unspend_in(tx: Transaction, digest: bytes, by: str) -> bool:
    """Take back the use by an attempt that came to nothing; False if it was another's, or the session is over."""
    live = exists().where(
        _sessions.c.id == _tokens.c.session_id, _sessions.c.ended_at.is_(None), _sessions.c.expires_at > tx.now
    )
    own = (_tokens.c.digest == digest, _tokens.c.used_by == by, live)
    return tx.connection.execute(update(_tokens).where(*own).values(used_at=None, used_by=None)).rowcount == 1


def drop_access_in(tx: Transaction, session_id: str) -> None:
    """End the access tokens of a session, before it gets another."""
    tx.connection.execute(delete(_tokens).where(_tokens.c.session_id == session_id, _tokens.c.kind == "access"))


def _read(row: Row[Any], session: Session) -> StoredToken:
    return StoredToken(
        digest=row.digest,
        kind=row.kind,
        session=session,
        scopes=tuple(json.loads(row.scopes)),
        code_challenge=row.code_challenge,
        redirect_uri=row.redirect_uri,
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
        used_by=row.used_by,
    )

"""Sessions: what a consent gave one client, or a sign-in one browser at /me, until it ends.

The provider's refresh token is sealed for its session and a number that grows with each, so that an older one that is
put back does not open. It is gone as soon as the session ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.people import OAuthClient
from orgserver.model.access.principals import Subject
from orgserver.model.names import new_id
from orgserver.model.secret import Secret
from orgserver.store.signin import sweep, tables
from orgserver.store.signin.requests import SignInRequest
from orgserver.store.signin.rows import Session, read_session
from orgserver.store.signin.sealing import SealingKey, make_session_context
from orgserver.store.transaction import Transaction

CODE_US = 60 * 1_000_000
"""How long a client may wait before it comes for its tokens."""
MAX_OF_CLIENT = 20
"""Sessions that one person has from one client: it may be installed on several machines, which look the same."""
_sessions = tables.sessions


class Sessions:
    """Reads, writes and opens them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, key: SealingKey, clock: Callable[[], int]) -> None:
        self._key = key
        self._clock = clock

    def add_client_in(self, tx: Transaction, request: SignInRequest, client: OAuthClient) -> str:
        """Keep what a person consented to, with the scopes of the request; its id.

        Nobody sees it until the client has come for its tokens.
        """
        assert request.principal is not None and request.subject is not None  # noqa: S101, PT018  # it was at consent
        return self._add_in(
            tx,
            request.provider_token,
            kind="client",
            principal=request.principal,
            issuer=request.subject.issuer,
            subject=request.subject.subject,
            person=request.person_name or request.subject.subject,
            client_id=client.client_id,
            client_name=client.name,
            redirect_uri=request.redirect_uri,
            resource=request.resource,
            scopes=json.dumps(request.scopes),
            auth_time=request.auth_time,
            expires_at=tx.now + CODE_US,
        )

    def add_browser_in(
        self,
        tx: Transaction,
        *,
        principal: str,
        person_name: str,
        subject: Subject,
        cookie_digest: bytes,
        auth_time: int | None,
        expires_at: int,
    ) -> str:
        """Keep the session of a browser at /me; its id."""
        return self._add_in(
            tx,
            None,
            kind="browser",
            principal=principal,
            issuer=subject.issuer,
            subject=subject.subject,
            person=person_name,
            scopes="[]",
            cookie_digest=cookie_digest,
            auth_time=auth_time,
            redeemed_at=tx.now,
            used_at=tx.now,
            expires_at=expires_at,
        )

    def redeem_in(self, tx: Transaction, session_id: str, expires_at: int) -> bool:
        """Begin one whose client has come for its tokens; False if it is over or has begun."""
        values = {"redeemed_at": tx.now, "used_at": tx.now, "expires_at": expires_at}
        return self._change_in(tx, session_id, _sessions.c.redeemed_at.is_(None), values)

    def renew_in(self, tx: Transaction, session_id: str, *, provider_token: Secret | None, expires_at: int) -> bool:
        """Lengthen a live one, and keep the provider's newest token, if it gave one; False if it is over."""
        values: dict[str, Any] = {"used_at": tx.now, "expires_at": expires_at}
        if provider_token is not None:
            number = select(_sessions.c.fencing).where(_sessions.c.id == session_id)
            fencing = (tx.connection.execute(number).scalar() or 0) + 1
            values |= {"fencing": fencing, "provider_token": self._seal_in(tx, provider_token, session_id, fencing)}
        return self._change_in(tx, session_id, _sessions.c.redeemed_at.is_not(None), values)

    def find_surplus_in(self, tx: Transaction, session: Session) -> list[Session]:
        """Live ones of the same person and client beyond as many as there may be: those that were used longest ago."""
        own = _sessions.c
        alike = (own.principal == session.principal, own.client_id == session.client_id)
        live = (own.redeemed_at.is_not(None), own.ended_at.is_(None), own.expires_at > tx.now)
        query = (
            select(_sessions).where(*alike, *live).order_by(own.used_at.desc(), own.created_at.desc(), own.id.desc())
        )
        return [read_session(row) for row in tx.connection.execute(query.offset(MAX_OF_CLIENT))]

    def open_provider_token_in(self, tx: Transaction, session_id: str) -> Secret | None:
        """The provider's refresh token, where it gave one; Unsealable if it was put back or changed."""
        own = select(_sessions.c.provider_token, _sessions.c.fencing).where(_sessions.c.id == session_id)
        row = tx.connection.execute(own).first()
        if row is None or row.provider_token is None:
            return None
        where = make_session_context(self._key.store_id, session_id, row.fencing)
        return self._key.load_in(tx).open_text(row.provider_token, where)

    def end_in(self, tx: Transaction, session_id: str, why: str) -> bool:
        """End one; False if it was over."""
        return bool(_end_in(tx, _sessions.c.id == session_id, why))

    def end_of_principal_in(self, tx: Transaction, principal: str, why: str) -> list[str]:
        """End every one of a principal; their ids."""
        return _end_in(tx, _sessions.c.principal == principal, why)

    def end_of_subject_in(self, tx: Transaction, subject: Subject, why: str) -> list[str]:
        """End every one of a person who signed in as this subject; their ids."""
        return _end_in(tx, and_(_sessions.c.issuer == subject.issuer, _sessions.c.subject == subject.subject), why)

    def find_in(self, tx: Transaction, session_id: str) -> Session | None:
        """One, whether or not it is over."""
        row = tx.connection.execute(select(_sessions).where(_sessions.c.id == session_id)).first()
        return read_session(row) if row is not None else None

    async def all(
        self, connection: AsyncConnection, principal: str | None = None, ended: bool = False
    ) -> list[Session]:
        """Those that are live, oldest first, and with ``ended`` those that were."""
        query = select(_sessions).where(*self._are_seen(principal, ended))
        query = query.order_by(_sessions.c.created_at, _sessions.c.id)
        return [read_session(row) for row in await connection.execute(query)]

    async def newest(self, connection: AsyncConnection, principal: str | None, limit: int) -> list[Session]:
        """The live ones that began last, the newest first."""
        query = select(_sessions).where(*self._are_seen(principal, False))
        query = query.order_by(_sessions.c.created_at.desc(), _sessions.c.id.desc()).limit(limit)
        return [read_session(row) for row in await connection.execute(query)]

    async def find(self, connection: AsyncConnection, beginning: str, limit: int) -> list[Session]:
        """Some of the live ones whose ids begin so."""
        query = select(_sessions).where(
            *self._are_seen(None, False), _sessions.c.id.startswith(beginning, autoescape=True)
        )
        return [read_session(row) for row in await connection.execute(query.order_by(_sessions.c.id).limit(limit))]

    async def count(self, connection: AsyncConnection, principal: str | None = None) -> int:
        """How many are live."""
        query = select(func.count()).select_from(_sessions).where(*self._are_seen(principal, False))
        return (await connection.execute(query)).scalar_one()

    async def names(self, connection: AsyncConnection) -> dict[str, str]:
        """What the provider called each principal's person at the last sign-in that is still known."""
        own = _sessions.c
        last = select(own.principal, func.max(own.created_at).label("at")).group_by(own.principal).subquery()
        query = select(own.principal, own.person).join(
            last, and_(own.principal == last.c.principal, own.created_at == last.c.at)
        )
        return {row.principal: row.person for row in await connection.execute(query)}

    def _are_seen(self, principal: str | None, ended: bool) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = [_sessions.c.redeemed_at.is_not(None)]
        if principal is not None:
            conditions.append(_sessions.c.principal == principal)
        if not ended:
            conditions += [_sessions.c.ended_at.is_(None), _sessions.c.expires_at > self._clock()]
        return conditions

    def _add_in(self, tx: Transaction, provider_token: Secret | None, **values: Any) -> str:
        session_id = new_id()
        sealed = self._seal_in(tx, provider_token, session_id, 1) if provider_token is not None else None
        row = {"id": session_id, "created_at": tx.now, "provider_token": sealed, "fencing": 1, **values}
        tx.connection.execute(insert(_sessions).values(row))
        return session_id

    def _change_in(self, tx: Transaction, session_id: str, is_due: ColumnElement[bool], values: dict[str, Any]) -> bool:
        live = (_sessions.c.id == session_id, _sessions.c.ended_at.is_(None), _sessions.c.expires_at > tx.now, is_due)
        return tx.connection.execute(update(_sessions).where(*live).values(values)).rowcount == 1

    def _seal_in(self, tx: Transaction, token: Secret, session_id: str, fencing: int) -> bytes:
        where = make_session_context(self._key.store_id, session_id, fencing)
        return self._key.load_in(tx).seal_text(token, where)


def _end_in(tx: Transaction, which: ColumnElement[bool], why: str) -> list[str]:
    """End those that are not over, and take out of their claims' groups whoever has no other; their ids."""
    live = and_(which, _sessions.c.ended_at.is_(None), _sessions.c.expires_at > tx.now)
    rows = tx.connection.execute(select(_sessions.c.id, _sessions.c.principal).where(live)).all()
    ended = {"ended_at": tx.now, "ended_why": why, "provider_token": None}
    tx.connection.execute(update(_sessions).where(live).values(ended))
    for principal in sorted({row.principal for row in rows}):
        sweep.clear_groups_in(tx, principal)
    return [row.id for row in rows]

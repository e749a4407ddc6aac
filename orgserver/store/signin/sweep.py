"""What is over is taken out of the store: sign-ins, sessions, tokens and clients that nobody uses any more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, delete, or_, select, union_all, update

from orgserver.store.people import claims
from orgserver.store.people.tables import claim_members
from orgserver.store.signin import tables
from orgserver.store.transaction import Transaction

_HOUR_US = 3_600 * 1_000_000
_DAY_US = 24 * _HOUR_US
CODE_REPLAY_US = _HOUR_US
"""For so long a code that is over is known, so that one who shows it again ends what it gave."""
SESSION_US = 30 * _DAY_US
"""For so long people see a session that is over."""
UNCONSENTED_US = _DAY_US
UNUSED_US = 90 * _DAY_US
STALE_US = 7 * _DAY_US
_clients, _requests, _sessions, _tokens = tables.clients, tables.requests, tables.sessions, tables.tokens


def sweep_in(tx: Transaction) -> int:
    """Take out what is over, and end what has run out; how many rows went.

    Groups by claim stay here: whoever takes somebody out of them puts it on record.
    """
    end_expired_in(tx)
    never_begun = and_(_sessions.c.redeemed_at.is_(None), _sessions.c.created_at <= tx.now - CODE_REPLAY_US)
    return (
        _delete_in(tx, _requests, _requests.c.expires_at <= tx.now)
        + _delete_in(tx, _tokens, _is_over(tx.now))
        + _delete_in(tx, _sessions, or_(never_begun, _sessions.c.ended_at <= tx.now - SESSION_US))
        + _delete_in(tx, _clients, _is_unused(tx.now))
    )


def end_expired_in(tx: Transaction) -> None:
    """End the sessions whose time is over, and forget the provider's tokens of theirs."""
    expired = (_sessions.c.ended_at.is_(None), _sessions.c.expires_at <= tx.now)
    ended = {"ended_at": _sessions.c.expires_at, "ended_why": "expired", "provider_token": None}
    tx.connection.execute(update(_sessions).where(*expired).values(ended))


def principals_without_session_in(tx: Transaction) -> list[str]:
    """Who is in groups by claim, and neither has a session nor is about to have one."""
    holders = union_all(*_holders(tx.now))
    query = select(claim_members.c.principal).where(claim_members.c.principal.not_in(holders)).distinct()
    return sorted(tx.connection.execute(query).scalars())


def clear_groups_in(tx: Transaction, principal: str) -> None:
    """Take whoever has no session, and is not about to have one, out of their claims' groups."""
    sessions, requests = _holders(tx.now)
    own = union_all(
        sessions.where(_sessions.c.principal == principal), requests.where(_requests.c.principal == principal)
    )
    if tx.connection.execute(own).first() is None:
        claims.clear_in(tx, principal)


def _holders(now: int) -> tuple[Select[Any], Select[Any]]:
    """Whose groups stay: principals of sessions, and of people who are asked for their consent."""
    sessions = select(_sessions.c.principal).where(_sessions.c.ended_at.is_(None), _sessions.c.expires_at > now)
    requests = select(_requests.c.principal).where(_requests.c.principal.is_not(None), _requests.c.expires_at > now)
    return sessions, requests


def _is_over(now: int) -> ColumnElement[bool]:
    """Of tokens: a code is known for a while longer, and a refresh token until its session goes."""
    expired = and_(_tokens.c.kind == "access", _tokens.c.expires_at <= now)
    code = and_(_tokens.c.kind == "code", _tokens.c.expires_at <= now - CODE_REPLAY_US)
    return or_(expired, code)


def _is_unused(now: int) -> ColumnElement[bool]:
    """Of clients: never one that a session or a sign-in under way is of."""
    live = select(_sessions.c.client_id).where(_sessions.c.client_id.is_not(None), _sessions.c.ended_at.is_(None))
    under_way = select(_requests.c.client_id).where(_requests.c.client_id.is_not(None))
    registered = and_(
        _clients.c.kind == "registered",
        or_(
            and_(_clients.c.used_at.is_(None), _clients.c.created_at <= now - UNCONSENTED_US),
            _clients.c.used_at <= now - UNUSED_US,
        ),
    )
    document = and_(_clients.c.kind == "document", _clients.c.fresh_until <= now - STALE_US)
    return and_(or_(registered, document), _clients.c.client_id.not_in(union_all(live, under_way)))


def _delete_in(tx: Transaction, table: Table, which: ColumnElement[bool]) -> int:
    return tx.connection.execute(delete(table).where(which)).rowcount

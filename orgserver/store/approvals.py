"""Requests of agents that a person must allow: waiting, approved, used. The names in them are sealed.

A row is a request that waits for ``orgserver approve CODE``, or (used from the start) an answer that a client brought,
kept until it would have expired so that nobody brings it twice.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.names import RowId
from orgserver.store import tables
from orgserver.store.audit.log import AuditLog
from orgserver.store.calls import tables as call_tables
from orgserver.store.orgs.registry import Orgs
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context, Unsealable

WAITING_US = 24 * 3_600 * 1_000_000
"""How long a request waits for a person."""
APPROVED_US = 15 * 60 * 1_000_000
"""How long an approved call may be made."""
MAX_WAITING = 200
"""How many requests of one principal may wait in one org: an agent must not fill the store with them."""
UNREADABLE = "(do not open: orgserver doctor says why)"
"""In place of names that are sealed under a key which is gone."""
_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_approvals = call_tables.approvals


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A call that a person must allow."""

    row_id: str
    principal: str
    tool: str
    digest: bytes
    action: str
    object: str | None
    count: int
    names: tuple[str, ...] = ()
    session_id: str | None = None
    """Of the sign-in by which a person's client asked: that person may allow it. None with a key, and on stdio."""


class QueueResult(Enum):
    """What became of a request that is to wait for a person."""

    NEW = auto()
    ALREADY = auto()
    """It waits since an earlier call."""
    FULL = auto()
    """Too many wait."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What lets one call pass, once: a code that a person approved, or an answer that came with the call."""

    code: str
    request: ApprovalRequest
    answer_expires_at: int | None = None
    """Of an answer, in microseconds; None for an approved code."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request as people see it."""

    code: str
    request: ApprovalRequest
    created_at: int
    approved_at: int | None
    approved_by: str | None
    expires_at: int
    entry_id: str | None
    """The audit entry of the call that was refused; None for requests of an older version."""
    client: str | None


def wait_in(tx: Transaction, orgs: Orgs, request: ApprovalRequest, intent: Intent) -> QueueResult:
    """Let a request wait under a code that people alone see; ``intent`` is of the call that was refused."""
    _sweep(tx)
    mine = (_approvals.c.row_id == request.row_id, _approvals.c.principal == request.principal)
    open_ = (_approvals.c.used_at.is_(None), _approvals.c.approved_at.is_(None))
    same = select(_approvals.c.code).where(*mine, *open_, _approvals.c.digest == request.digest)
    code = tx.connection.execute(same).scalar()
    if code is not None:
        if request.session_id is not None:  # the person asks for it, too, by whatever way the first call came
            own = update(_approvals).where(_approvals.c.code == code)
            tx.connection.execute(own.values(session_id=request.session_id))
        return QueueResult.ALREADY
    waiting = tx.connection.execute(select(func.count()).select_from(_approvals).where(*mine, *open_)).scalar_one()
    if waiting >= MAX_WAITING:
        return QueueResult.FULL
    code = _new_code()
    plain = json.dumps(request.names).encode("utf-8", "replace")
    sealed = orgs.credentials.data_key_in(tx, RowId(request.row_id)).seal(plain, context(request.row_id, code))
    expires_at = tx.now + WAITING_US
    _add(tx, code, request, sealed=sealed, expires_at=expires_at, entry_id=intent.id, client=intent.client)
    return QueueResult.NEW


def spend_in(tx: Transaction, pass_: Pass) -> bool:
    """Use a pass; False if it was used, has run out, or was never given."""
    _sweep(tx)
    if pass_.answer_expires_at is None:
        usable = (
            _approvals.c.code == pass_.code,
            _approvals.c.digest == pass_.request.digest,
            _approvals.c.approved_at.is_not(None),
            _approvals.c.used_at.is_(None),
        )
        return tx.connection.execute(update(_approvals).where(*usable).values(used_at=tx.now)).rowcount == 1
    row = tx.connection.execute(select(_approvals.c.code).where(_approvals.c.code == pass_.code)).first()
    if row is not None or pass_.answer_expires_at < tx.now:
        return False
    _add(tx, pass_.code, pass_.request, used_at=tx.now, expires_at=pass_.answer_expires_at)
    return True


def approve_in(tx: Transaction, log: AuditLog, code: str, by: str, intent: Intent) -> bool:
    """Approve a request that waits, on record; False if it does not wait any more."""
    _sweep(tx)
    waits = (_approvals.c.code == code, _approvals.c.approved_at.is_(None), _approvals.c.used_at.is_(None))
    approval = {"approved_at": tx.now, "approved_by": by, "expires_at": tx.now + APPROVED_US}
    if tx.connection.execute(update(_approvals).where(*waits).values(**approval)).rowcount == 0:
        return False
    log.record_in(tx, intent, Completion(Outcome.SUCCEEDED))
    return True


async def find_approved(connection: AsyncConnection, digest: bytes, now: int) -> tuple[str, int] | None:
    """The code and count of a request with this digest that a person approved and nobody used."""
    row = (
        await connection.execute(
            select(_approvals.c.code, _approvals.c.records).where(
                _approvals.c.digest == digest,
                _approvals.c.approved_at.is_not(None),
                _approvals.c.used_at.is_(None),
                _approvals.c.expires_at > now,
            )
        )
    ).first()
    return (row.code, row.records) if row is not None else None


async def list_requests(connection: AsyncConnection, orgs: Orgs, now: int) -> list[Approval]:
    """The requests that nobody used and that have not run out, oldest first."""
    rows = await connection.execute(
        select(_approvals)
        .join(tables.data_keys, tables.data_keys.c.owner == _approvals.c.row_id)  # gone with an org that was removed
        .where(_approvals.c.used_at.is_(None), _approvals.c.expires_at > now)
        .order_by(_approvals.c.created_at)
    )
    return [await _read_row(connection, orgs, row) for row in rows.all()]


async def _read_row(connection: AsyncConnection, orgs: Orgs, row: Row[Any]) -> Approval:
    names: tuple[str, ...] = ()
    if row.sealed is not None:
        try:
            key = await orgs.credentials.data_key(connection, row.row_id)
            names = tuple(json.loads(key.open(row.sealed, context(row.row_id, row.code))))
        except Unsealable:  # one that does not open is no reason to show none of the others
            names = (UNREADABLE,)
    request = ApprovalRequest(
        row.row_id, row.principal, row.tool, row.digest, row.action, row.object, row.records, names, row.session_id
    )
    return Approval(
        row.code, request, row.created_at, row.approved_at, row.approved_by, row.expires_at, row.entry_id, row.client
    )


def context(row_id: str, code: str) -> Context:
    """Where the names of a request belong."""
    return Context(row_id, _approvals.name, "sealed", code)


def _add(tx: Transaction, code: str, request: ApprovalRequest, **more: Any) -> None:
    tx.connection.execute(
        insert(_approvals).values(
            code=code,
            row_id=request.row_id,
            principal=request.principal,
            tool=request.tool,
            digest=request.digest,
            action=request.action,
            object=request.object,
            records=request.count,
            session_id=request.session_id,
            created_at=tx.now,
            **more,
        )
    )


def _sweep(tx: Transaction) -> None:
    tx.connection.execute(delete(_approvals).where(_approvals.c.expires_at < tx.now))


def _new_code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"

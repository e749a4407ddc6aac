"""Idempotency keys: what became of the first use of each. The store keeps digests and sealed answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.usage import ApiUse
from orgserver.model.audit import Intent, Outcome
from orgserver.store.calls import tables as call_tables
from orgserver.store.transaction import Transaction

_KEY_LIFE = 24 * 3_600 * 1_000_000
"""How long an idempotency key is kept, in microseconds."""
FREED = frozenset({Outcome.DENIED, Outcome.NOT_SENT})
"""Outcomes after which an idempotency key is free again."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key as the store keeps it: digests only."""

    principal: str
    row_id: str
    key_digest: bytes
    arguments_digest: bytes


class Begun(msgspec.Struct, frozen=True):
    """What became of an intent."""

    verdict: Literal["begun", "catalog_changed", "replay", "clash", "budget_used", "spent"]
    outcome: str | None = None
    """Of the first attempt, for a replay."""
    answer: bytes | None = None
    entry_id: str | None = None
    """The first attempt's entry, for a replay."""
    use: ApiUse | None = None
    """Of a budget that is used up."""


def begin_in(tx: Transaction, intent: Intent, idempotency_key: IdempotencyKey) -> Begun | None:
    """Look an idempotency key up: None if it is new (and now ours), else what became of its first use."""
    keys = call_tables.idempotency
    tx.connection.execute(delete(keys).where(keys.c.expires_at < tx.now))
    row = tx.connection.execute(
        select(keys.c.arguments_digest, keys.c.outcome, keys.c.answer, keys.c.entry_id).where(
            keys.c.principal == idempotency_key.principal,
            keys.c.row_id == idempotency_key.row_id,
            keys.c.key_digest == idempotency_key.key_digest,
        )
    ).first()
    if row is None:
        tx.connection.execute(
            insert(keys).values(
                principal=idempotency_key.principal,
                row_id=idempotency_key.row_id,
                key_digest=idempotency_key.key_digest,
                arguments_digest=idempotency_key.arguments_digest,
                entry_id=intent.id,
                outcome=Outcome.PENDING.value,
                expires_at=tx.now + _KEY_LIFE,
            )
        )
        return None
    if row.arguments_digest != idempotency_key.arguments_digest or row.outcome == Outcome.PENDING.value:
        return Begun("clash", outcome=row.outcome)
    return Begun("replay", outcome=row.outcome, answer=row.answer, entry_id=row.entry_id)


async def is_answered(connection: AsyncConnection, key: IdempotencyKey, now: int) -> bool:
    """Whether the first use of a key with these arguments is over, and its answer kept."""
    keys = call_tables.idempotency
    first = select(keys.c.outcome).where(
        keys.c.principal == key.principal,
        keys.c.row_id == key.row_id,
        keys.c.key_digest == key.key_digest,
        keys.c.arguments_digest == key.arguments_digest,
        keys.c.expires_at >= now,
    )
    outcome = (await connection.execute(first)).scalar()
    return outcome is not None and outcome != Outcome.PENDING.value


def settle_in(tx: Transaction, entry_id: str, outcome: Outcome, answer: bytes | None) -> None:
    """Keep how the first use of a key ended, or free the key when nothing was sent."""
    keys = call_tables.idempotency
    if outcome in FREED:
        tx.connection.execute(delete(keys).where(keys.c.entry_id == entry_id))
        return
    tx.connection.execute(update(keys).where(keys.c.entry_id == entry_id).values(outcome=outcome.value, answer=answer))

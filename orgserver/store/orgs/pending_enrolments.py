"""Enrolments that were begun and not finished, sealed: what is known so far of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.names import Alias, RowId
from orgserver.store import tables
from orgserver.store.orgs.credentials import Credentials
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context


@dataclass(frozen=True, slots=True)
class PendingEnrolment:
    """An enrolment under way: what is known so far, sealed in the store until everything is proven."""

    alias: Alias
    row_id: RowId
    facts: dict[str, Any]
    """``client_id``, ``client_secret``, ``refresh_token``, a digest of the one given, and the proof so far."""


class PendingEnrolments:
    """Reads and changes of them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def all(self, connection: AsyncConnection) -> dict[Alias, PendingEnrolment]:
        """Open every enrolment that was not finished."""
        rows = await connection.execute(
            select(tables.enrolments, tables.data_keys.c.wrapped).join(
                tables.data_keys, tables.data_keys.c.owner == tables.enrolments.c.row_id
            )
        )
        enrolments: dict[Alias, PendingEnrolment] = {}
        for row in rows:
            key = await self._credentials.unwrap(row.row_id, row.wrapped)
            facts = key.open(row.draft, _context(row.row_id))
            enrolments[row.alias] = PendingEnrolment(row.alias, RowId(row.row_id), json.loads(facts))
        return enrolments

    def read_in(self, tx: Transaction, row_id: RowId) -> PendingEnrolment | None:
        """Open one enrolment that was not finished."""
        row = tx.connection.execute(select(tables.enrolments).where(tables.enrolments.c.row_id == row_id)).first()
        if row is None:
            return None
        facts = self._credentials.data_key_in(tx, row_id).open(row.draft, _context(row_id))
        return PendingEnrolment(row.alias, row_id, json.loads(facts))

    def write_in(self, tx: Transaction, enrolment: PendingEnrolment) -> None:
        """Write an enrolment, new or a step further."""
        key = self._credentials.data_key_in(tx, enrolment.row_id)
        facts = key.seal(json.dumps(enrolment.facts).encode(), _context(enrolment.row_id))
        tx.connection.execute(delete(tables.enrolments).where(tables.enrolments.c.alias == enrolment.alias))
        tx.connection.execute(
            insert(tables.enrolments).values(
                alias=enrolment.alias, row_id=enrolment.row_id, draft=facts, created_at=tx.now
            )
        )

    def remove_in(self, tx: Transaction, enrolment: PendingEnrolment, *, keep_key: bool) -> None:
        """End an enrolment; without ``keep_key`` its secrets are destroyed with their key."""
        tx.connection.execute(delete(tables.enrolments).where(tables.enrolments.c.alias == enrolment.alias))
        if not keep_key:
            tx.connection.execute(delete(tables.data_keys).where(tables.data_keys.c.owner == enrolment.row_id))


def _context(row_id: str) -> Context:
    """Where the facts of an enrolment belong."""
    return Context(row_id, "enrolments", "draft")

"""Refresh tokens that are over here, and that Salesforce has not been told of yet.

Each is written where its login ends, in the same transaction: the end does not wait for Salesforce, and what is left to
tell it is not forgotten. It outlives the org, the person and the login's key, so it lies under the store's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.names import new_id
from orgserver.model.orgs import Org, OrgHosts
from orgserver.model.secret import Secret
from orgserver.store.people import connection_tables
from orgserver.store.signin.sealing import SealingKey, make_revocation_context
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Unsealable

_revocations = connection_tables.revocations
_of = _revocations.c


@dataclass(frozen=True, slots=True)
class Revocation:
    """One token that Salesforce is to be told of."""

    id: str
    alias: str
    principal: str
    hosts: OrgHosts
    """Where its org's token might go when it ended; the key is this revocation's own."""
    token: Secret | None
    """None where it does not open any more: nobody can revoke it."""
    created_at: int
    next_at: int
    """Microseconds since 1970 UTC."""
    tries: int


class Revocations:
    """Reads, writes and opens them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, key: SealingKey, tell: Callable[[], None]) -> None:
        self._key = key
        self._tell = tell

    def add_in(self, tx: Transaction, org: Org, principal: str, token: Secret) -> str:
        """Write that a token of this org is to be revoked, as soon as may be; the id."""
        revocation_id = new_id()
        sealed = self._key.load_in(tx).seal_text(token, make_revocation_context(self._key.store_id, revocation_id))
        tx.connection.execute(
            insert(_revocations).values(
                id=revocation_id,
                alias=org.alias,
                principal=principal,
                login_url=org.login_url,
                instance_url=org.instance_url,
                trusted_hosts=json.dumps(org.trusted_hosts),
                sealed=sealed,
                created_at=tx.now,
                next_at=tx.now,
                tries=0,
            )
        )
        tx.after_commit.append(self._tell)
        return revocation_id

    async def due(self, connection: AsyncConnection, now: int, limit: int) -> list[Revocation]:
        """Some of those whose time has come, the oldest first, opened."""
        query = select(_revocations).where(_of.next_at <= now).order_by(_of.next_at, _of.id).limit(limit)
        rows = (await connection.execute(query)).all()
        key = await self._key.load(connection) if rows else None
        revocations: list[Revocation] = []
        for row in rows:
            try:
                where = make_revocation_context(self._key.store_id, row.id)
                token = key.open_text(row.sealed, where) if key is not None else None
            except Unsealable:
                token = None
            hosts = OrgHosts(row.id, row.instance_url, row.login_url, tuple(json.loads(row.trusted_hosts)))
            times = row.created_at, row.next_at, row.tries
            revocations.append(Revocation(row.id, row.alias, row.principal, hosts, token, *times))
        return revocations

    def claim_in(self, tx: Transaction, revocation: Revocation, until: int) -> bool:
        """Have nobody else send one before an instant; False where somebody else has it, or it is done."""
        here = _of.id == revocation.id, _of.next_at == revocation.next_at
        claimed = update(_revocations).where(*here).values(next_at=until, tries=_of.tries + 1)
        return tx.connection.execute(claimed).rowcount == 1

    def done_in(self, tx: Transaction, revocation_id: str) -> bool:
        """Forget one that Salesforce was told of, or that is given up; False where somebody else has."""
        return tx.connection.execute(delete(_revocations).where(_of.id == revocation_id)).rowcount == 1

    def later_in(self, tx: Transaction, revocation_id: str, next_at: int) -> None:
        """Try one again at another time."""
        tx.connection.execute(update(_revocations).where(_of.id == revocation_id).values(next_at=next_at))

    async def waiting(self, connection: AsyncConnection) -> tuple[int, int | None]:
        """How many wait, and since when the oldest does."""
        row = (await connection.execute(select(func.count(), func.min(_of.created_at)).select_from(_revocations))).one()
        return row[0], row[1]

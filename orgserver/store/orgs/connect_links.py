"""Logins that people were asked for and have not stored yet: each is a link that works once, and goes on in steps.

A step is written only while the link is where the step begins (``stage``), so that of two browsers one goes on. What a
link has to keep secret lies sealed for its step, its org and its principal.

    asked → salesforce (sealed: the verifier) → redeeming (the same) → answered (what Salesforce gave) → gone
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.names import OrgId, RowId, new_id
from orgserver.model.orgs import Org
from orgserver.store.people import connection_tables
from orgserver.store.signin.sealing import SealingKey, make_link_context
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context, Unsealable

_links = connection_tables.connect_links
_of = _links.c
Stage = Literal["asked", "salesforce", "redeeming", "answered"]
LIFE_US = 600 * 1_000_000
"""How long a link works, from when it was asked for until its login is stored."""


@dataclass(frozen=True, slots=True)
class ConnectLink:
    """One link, without what is sealed of it."""

    id: str
    row_id: RowId
    alias: str
    """As it was when the login was asked for."""
    org_id: OrgId
    principal: str
    replace: bool
    """Another Salesforce user may follow the pinned one."""
    stage: Stage
    created_at: int
    expires_at: int
    """Microseconds since 1970 UTC."""
    attempts: int = 0
    """Keys that were not the right one."""
    proof: str | None = None
    """Who opened it: ``session:ID`` or ``key:ID``."""
    browser_digest: bytes | None = None

    @classmethod
    def to_org(
        cls,
        org: Org,
        principal: str,
        now: int,
        *,
        stage: Stage = "asked",
        replace: bool = False,
        proof: str | None = None,
    ) -> ConnectLink:
        """A new one, to an org whose id is known."""
        assert org.org_id is not None  # noqa: S101  # an org without one has no other identity than the shared one
        times = now, now + LIFE_US
        return cls(new_id(), org.row_id, org.alias, org.org_id, principal, replace, stage, *times, proof=proof)


class ConnectLinks:
    """Reads, writes and opens them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, key: SealingKey) -> None:
        self._key = key

    async def find(
        self,
        connection: AsyncConnection,
        *,
        nonce_digest: bytes | None = None,
        state_digest: bytes | None = None,
        link_id: str | None = None,
    ) -> ConnectLink | None:
        """One link, also a late one, by what a browser holds or by its id."""
        row = (await connection.execute(select(_links).where(_same(nonce_digest, state_digest, link_id)))).first()
        return _read(row) if row is not None else None

    def find_in(self, tx: Transaction, link_id: str) -> ConnectLink | None:
        """One link by its id."""
        row = tx.connection.execute(select(_links).where(_of.id == link_id)).first()
        return _read(row) if row is not None else None

    def add_in(
        self, tx: Transaction, link: ConnectLink, nonce_digest: bytes, *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Write a new link; ``facts`` of one that begins with an answer, as a command's does."""
        tx.connection.execute(
            insert(_links).values(
                id=link.id,
                nonce_digest=nonce_digest,
                row_id=link.row_id,
                alias=link.alias,
                org_id=link.org_id,
                principal=link.principal,
                replace=link.replace,
                stage=link.stage,
                attempts=link.attempts,
                proof=link.proof,
                browser_digest=link.browser_digest,
                sealed=self._seal(tx, link, link.stage, facts) if facts else None,
                created_at=link.created_at,
                expires_at=link.expires_at,
            )
        )

    def limit_in(self, tx: Transaction, row_id: RowId, principal: str, most: int) -> None:
        """Leave so many links of a principal to an org, the newest, that nobody has begun with."""
        asked = _of.row_id == row_id, _of.principal == principal, _of.stage == "asked"
        newest = select(_of.id).where(*asked).order_by(_of.created_at.desc(), _of.id.desc()).limit(most)
        newest_ids = tx.connection.execute(newest).scalars().all()
        tx.connection.execute(delete(_links).where(*asked, _of.id.not_in(newest_ids)))

    def step_in(
        self,
        tx: Transaction,
        link: ConnectLink,
        before: Stage,
        after: Stage,
        *,
        facts: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> bool:
        """Go a step further, from where it stands; False where somebody else has, or it is late.

        ``facts`` are sealed for the new step; without them what is sealed goes on. ``columns``: ``proof``,
        ``browser_digest``, ``state_digest``.
        """
        values: dict[str, Any] = {**columns, "stage": after}
        if facts is None and before != after:
            facts = self.open_in(tx, link)
        if facts is not None:
            values["sealed"] = self._seal(tx, link, after, facts) if facts else None
        here = _of.id == link.id, _of.stage == before, _of.expires_at > tx.now
        return tx.connection.execute(update(_links).where(*here).values(values)).rowcount == 1

    def open_in(self, tx: Transaction, link: ConnectLink) -> dict[str, Any]:
        """What is sealed of a link, as it stands there; nothing where that was put there by other hands."""
        row = tx.connection.execute(select(_of.stage, _of.sealed).where(_of.id == link.id)).first()
        if row is None or row.sealed is None:
            return {}
        try:
            opened: dict[str, Any] = json.loads(self._key.load_in(tx).open(row.sealed, self._context(link, row.stage)))
        except Unsealable:
            return {}
        return opened

    def count_attempt_in(self, tx: Transaction, link_id: str) -> int:
        """Count a key that was not the right one; how many there have been."""
        tx.connection.execute(update(_links).where(_of.id == link_id).values(attempts=_of.attempts + 1))
        return tx.connection.execute(select(_of.attempts).where(_of.id == link_id)).scalar() or 0

    def remove_in(self, tx: Transaction, link: ConnectLink, stage: Stage) -> dict[str, Any] | None:
        """End a link that stands there: what was sealed of it; None where it does not stand there any more."""
        facts = self.open_in(tx, link)
        here = _of.id == link.id, _of.stage == stage
        return facts if tx.connection.execute(delete(_links).where(*here)).rowcount == 1 else None

    def sweep_in(self, tx: Transaction) -> list[tuple[ConnectLink, dict[str, Any]]]:
        """End the links that are late; each with what Salesforce had answered to it, to be revoked."""
        return self._end_in(tx, _of.expires_at <= tx.now)

    def end_of_in(
        self, tx: Transaction, *, principal: str | None = None, row_id: RowId | None = None
    ) -> list[tuple[ConnectLink, dict[str, Any]]]:
        """End the links of a principal, or of an org, in the same way."""
        assert principal is not None or row_id is not None  # noqa: S101  # never all of them
        return self._end_in(tx, _of.principal == principal if principal is not None else _of.row_id == row_id)

    async def count(self, connection: AsyncConnection) -> int:
        """How many there are."""
        return (await connection.execute(select(func.count()).select_from(_links))).scalar_one()

    def _end_in(self, tx: Transaction, which: ColumnElement[bool]) -> list[tuple[ConnectLink, dict[str, Any]]]:
        ended = [_read(row) for row in tx.connection.execute(select(_links).where(which)).all()]
        answers = [(link, self.open_in(tx, link) if link.stage == "answered" else {}) for link in ended]
        tx.connection.execute(delete(_links).where(which))
        return answers

    def _seal(self, tx: Transaction, link: ConnectLink, stage: Stage, facts: Mapping[str, Any]) -> bytes:
        return self._key.load_in(tx).seal(json.dumps(facts).encode(), self._context(link, stage))

    def _context(self, link: ConnectLink, stage: str) -> Context:
        return make_link_context(self._key.store_id, link.id, stage, link.row_id, link.principal)


def _same(nonce_digest: bytes | None, state_digest: bytes | None, link_id: str | None) -> ColumnElement[bool]:
    if nonce_digest is not None:
        return _of.nonce_digest == nonce_digest
    return _of.state_digest == state_digest if state_digest is not None else _of.id == link_id


def _read(row: Row[Any]) -> ConnectLink:
    return ConnectLink(
        id=row.id,
        row_id=RowId(row.row_id),
        alias=row.alias,
        org_id=OrgId(row.org_id),
        principal=row.principal,
        replace=row.replace,
        stage=row.stage,
        created_at=row.created_at,
        expires_at=row.expires_at,
        attempts=row.attempts,
        proof=row.proof,
        browser_digest=row.browser_digest,
    )

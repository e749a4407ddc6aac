"""Registered orgs, their sealed credentials, cached access tokens, and enrolments under way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.names import Alias, RowId
from orgserver.model.orgs import AccessToken, Credential, Move, Org, OrgState, Problem
from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.store.orgs import policies, rows, sealed_values
from orgserver.store.orgs.policies import PolicyChange
from orgserver.store.orgs.rewrapping import ORG, catching_up, renew_data_key_in
from orgserver.store.times import to_datetime
from orgserver.store.transaction import Transaction
from orgserver.vault.ring import Context, Key, Vault


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every registered org as of one version of the store."""

    version: int
    by_alias: Mapping[str, Org]


@dataclass(frozen=True, slots=True)
class Draft:
    """An enrolment under way: what is known so far, sealed in the store until everything is proven."""

    alias: Alias
    row_id: RowId
    facts: dict[str, Any]
    """``client_id``, ``client_secret``, ``refresh_token``, a digest of the one given, and the proof so far."""


class Orgs:
    """Reads and changes of orgs. Methods ``…_in`` are changes for the writer."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._keys: dict[str, tuple[bytes, Key]] = {}

    # -- reading

    async def catalog(self, connection: AsyncConnection) -> Catalog:
        """Read every org in one snapshot."""
        version = (await connection.execute(select(tables.store.c.catalog_version))).scalar_one()
        found = (await connection.execute(rows.EVERY.order_by(tables.orgs.c.alias))).all()
        return Catalog(version, {row.alias: rows.org(row) for row in found})

    async def catalog_version(self, connection: AsyncConnection) -> int:
        """Read only the version."""
        return int((await connection.execute(select(tables.store.c.catalog_version))).scalar_one())

    async def credential(self, connection: AsyncConnection, row_id: RowId) -> Credential | None:
        """Open an org's credential."""
        row = (await connection.execute(sealed_values.credential_of(row_id))).first()
        if row is None:
            return None
        await self._unwrapped(row_id, row.wrapped)
        return self.opened(row_id, row)

    def opened(self, row_id: str, row: Row[Any]) -> Credential:
        """Open a row of ``credential_of``."""
        key = self._key(row_id, row.wrapped)
        return Credential(
            client_id=row.client_id,
            client_secret=sealed_values.opened(key, row.client_secret, sealed_values.client_secret(row_id)),
            refresh_token=sealed_values.opened(
                key, row.refresh_token, sealed_values.refresh_token(row_id, row.fencing)
            ),
            private_key=sealed_values.opened(key, row.private_key, sealed_values.private_key(row_id)),
            username=row.username,
            audience=row.audience,
            explicit_audience=row.explicit_audience,
            fencing=row.fencing,
            given=row.given,
        )

    async def access_token(self, connection: AsyncConnection, row_id: RowId) -> AccessToken | None:
        """Open an org's cached access token."""
        row = (await connection.execute(sealed_values.access_token_of(row_id))).first()
        if row is None:
            return None
        await self._unwrapped(row_id, row.wrapped)
        return self.opened_access(row_id, row)

    def opened_access(self, row_id: str, row: Row[Any]) -> AccessToken:
        """Open a row of ``access_token_of``."""
        token = self._key(row_id, row.wrapped).open_text(row.token, sealed_values.access_token(row_id, row.fencing))
        return AccessToken(token, row.instance_url, row.fencing)

    async def refreshed_at(self, connection: AsyncConnection, row_id: RowId) -> datetime | None:
        """When an org's refresh token was last used."""
        last = select(tables.orgs.c.refreshed_at).where(tables.orgs.c.row_id == row_id)
        found = (await connection.execute(last)).scalar()
        return to_datetime(found) if found is not None else None

    async def data_key(self, connection: AsyncConnection, row_id: RowId) -> Key:
        """Unwrap an org's data key."""
        wrapped = (
            await connection.execute(select(tables.data_keys.c.wrapped).where(tables.data_keys.c.owner == row_id))
        ).scalar_one()
        return await self._unwrapped(row_id, wrapped)

    async def drafts(self, connection: AsyncConnection) -> dict[Alias, Draft]:
        """Open every enrolment that was not finished."""
        known = await connection.execute(
            select(tables.enrolments, tables.data_keys.c.wrapped).join(
                tables.data_keys, tables.data_keys.c.owner == tables.enrolments.c.row_id
            )
        )
        found: dict[Alias, Draft] = {}
        for row in known:
            key = await self._unwrapped(row.row_id, row.wrapped)
            facts = key.open(row.draft, sealed_values.draft(row.row_id))
            found[row.alias] = Draft(row.alias, RowId(row.row_id), json.loads(facts))
        return found

    async def refresh_tokens(self, connection: AsyncConnection) -> list[tuple[Alias, Secret, str]]:
        """Open every org's refresh token, with the digest of the one it was given: to notice one given twice."""
        found: list[tuple[Alias, Secret, str]] = []
        known = await connection.execute(
            select(tables.orgs.c.alias, tables.credentials, tables.data_keys.c.wrapped)
            .join(tables.credentials, tables.credentials.c.row_id == tables.orgs.c.row_id)
            .join(tables.data_keys, tables.data_keys.c.owner == tables.orgs.c.row_id)
            .where(tables.credentials.c.refresh_token.is_not(None))
        )
        for row in known:
            key = await self._unwrapped(row.row_id, row.wrapped)
            token = key.open_text(row.refresh_token, sealed_values.refresh_token(row.row_id, row.fencing))
            found.append((row.alias, token, row.given))
        return found

    # -- changing

    def draft_in(self, tx: Transaction, row_id: RowId) -> Draft | None:
        """Open one enrolment that was not finished."""
        row = tx.connection.execute(select(tables.enrolments).where(tables.enrolments.c.row_id == row_id)).first()
        if row is None:
            return None
        facts = self.key_in(tx, row_id).open(row.draft, sealed_values.draft(row_id))
        return Draft(row.alias, row_id, json.loads(facts))

    def registered_in(self, tx: Transaction, alias: Alias) -> bool:
        """Tell whether an alias is in use."""
        used = select(tables.orgs.c.row_id).where(tables.orgs.c.alias == alias)
        return tx.connection.execute(used).first() is not None

    def keep_draft_in(self, tx: Transaction, draft: Draft) -> None:
        """Write an enrolment, new or a step further."""
        key = self.key_in(tx, draft.row_id)
        facts = key.seal(json.dumps(draft.facts).encode(), sealed_values.draft(draft.row_id))
        old = tables.enrolments.c.alias == draft.alias
        tx.connection.execute(delete(tables.enrolments).where(old))
        tx.connection.execute(
            insert(tables.enrolments).values(alias=draft.alias, row_id=draft.row_id, draft=facts, created_at=tx.now)
        )

    def drop_draft_in(self, tx: Transaction, draft: Draft, *, keep_key: bool) -> None:
        """End an enrolment; without ``keep_key`` its secrets are destroyed with their key."""
        tx.connection.execute(delete(tables.enrolments).where(tables.enrolments.c.alias == draft.alias))
        if not keep_key:
            tx.connection.execute(delete(tables.data_keys).where(tables.data_keys.c.owner == draft.row_id))

    def add_in(
        self, tx: Transaction, org: Org, credential: Credential, access: AccessToken | None
    ) -> list[PolicyChange]:
        """Write a proven org with its credential and its first access token; the policies that this changes."""
        tx.connection.execute(insert(tables.orgs).values(created_at=tx.now, **rows.columns(org)))
        self.replace_credential_in(tx, org.row_id, credential, access)
        return policies.join_in(tx, org)[1] if org.org_id is not None else []

    def replace_credential_in(
        self, tx: Transaction, row_id: RowId, credential: Credential, access: AccessToken | None
    ) -> None:
        """Write an org's credential over the one it had."""
        # What was sent of the old credential says nothing about this one.
        for table in (tables.credentials, tables.access_tokens, tables.leases):
            tx.connection.execute(delete(table).where(table.c.row_id == row_id))
        key = self._next_key_in(tx, row_id)
        tx.connection.execute(
            insert(tables.credentials).values(
                row_id=row_id,
                client_id=credential.client_id,
                client_secret=sealed_values.closed(key, credential.client_secret, sealed_values.client_secret(row_id)),
                refresh_token=sealed_values.closed(
                    key, credential.refresh_token, sealed_values.refresh_token(row_id, credential.fencing)
                ),
                private_key=sealed_values.closed(key, credential.private_key, sealed_values.private_key(row_id)),
                username=credential.username,
                audience=credential.audience,
                explicit_audience=credential.explicit_audience,
                fencing=credential.fencing,
                given=credential.given,
            )
        )
        if access is not None:
            self._keep_access_in(tx, key, row_id, access)
        rows.changed_in(tx)

    def refreshed_in(
        self, tx: Transaction, row_id: RowId, fencing: int, refresh_token: Secret | None, access: AccessToken
    ) -> bool:
        """Keep what a refresh gave, if nobody has stored another since: False then, and nothing is written."""
        if not self.rotated_in(tx, row_id, fencing, refresh_token, access.fencing):
            return False
        self._keep_access_in(tx, self.key_in(tx, row_id), row_id, access)
        orgs = tables.orgs
        news = or_(
            orgs.c.state != OrgState.READY.value,
            orgs.c.problem.is_not(None),
            orgs.c.held.is_(True),
            orgs.c.instance_url != access.instance_url,
        )
        told = tx.connection.execute(
            update(orgs)
            .where(orgs.c.row_id == row_id, news)
            .values(state=OrgState.READY.value, cause=None, problem=None, held=False, instance_url=access.instance_url)
        )
        if told.rowcount:
            rows.changed_in(tx)
        return True

    def remember_audience_in(self, tx: Transaction, row_id: RowId, audience: str) -> None:
        """Note which audience an org's app takes."""
        known = tables.credentials.c.row_id == row_id
        tx.connection.execute(update(tables.credentials).where(known).values(audience=audience))

    def rotated_in(
        self, tx: Transaction, row_id: RowId, fencing: int, refresh_token: Secret | None, following: int
    ) -> bool:
        """Keep the refresh token that follows one of this fencing number; False if another follows it already.

        The access token, and what is said of the org, stay as they are.
        """
        key = self.key_in(tx, row_id)
        done = tx.connection.execute(
            update(tables.credentials)
            .where(tables.credentials.c.row_id == row_id, tables.credentials.c.fencing == fencing)
            .values(
                fencing=following,
                refresh_token=sealed_values.closed(key, refresh_token, sealed_values.refresh_token(row_id, following)),
            )
        )
        if done.rowcount == 0:
            return False
        self.touched_in(tx, row_id)
        return True

    def move_in(self, tx: Transaction, row_id: RowId, access: AccessToken, move: Move) -> bool:
        """Pin an org, and the access token that is stored, to another instance; False if that token is another."""
        if not self.note_move_in(tx, row_id, access.fencing, move):
            return False
        for table in (tables.access_tokens, tables.orgs):
            tx.connection.execute(
                update(table).where(table.c.row_id == row_id).values(instance_url=access.instance_url)
            )
        return True

    def note_move_in(self, tx: Transaction, row_id: RowId, fencing: int, move: Move | None) -> bool:
        """Note what is known of an org's move; False if its token is another one by now."""
        if self.fencing_in(tx, row_id) != fencing:
            return False
        values = {"move": rows.move_column(move)}
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == row_id).values(values))
        rows.changed_in(tx)
        return True

    def forget_access_in(self, tx: Transaction, row_id: RowId) -> None:
        """Let go of the access token that is stored."""
        tx.connection.execute(delete(tables.access_tokens).where(tables.access_tokens.c.row_id == row_id))

    def fencing_in(self, tx: Transaction, row_id: RowId) -> int:
        """The fencing number of an org's credential; 0 if it has none."""
        found = tx.connection.execute(
            select(tables.credentials.c.fencing).where(tables.credentials.c.row_id == row_id)
        ).scalar()
        return int(found or 0)

    def touched_in(self, tx: Transaction, row_id: RowId) -> None:
        """Note that an org's refresh token was used just now."""
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == row_id).values(refreshed_at=tx.now))

    def change_in(self, tx: Transaction, row_id: RowId, change: Callable[[Org], Org]) -> Org | None:
        """Change an org's row by a function; None if it is gone.

        Its org id and its policy stay what they are: ``policies`` changes those.
        """
        old = rows.one_in(tx, row_id)
        if old is None:
            return None
        org = replace(change(old), org_id=old.org_id, policy=old.policy)
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == row_id).values(**rows.columns(org)))
        rows.changed_in(tx)
        return org

    def mark_in(
        self, tx: Transaction, row_id: RowId, *, state: OrgState | None, cause: str | None, problem: Problem | None
    ) -> None:
        """Note what the last token answer said about an org."""

        def marked(org: Org) -> Org:
            return replace(org, state=state or org.state, cause=cause if state else org.cause, problem=problem)

        self.change_in(tx, row_id, marked)

    def remove_in(self, tx: Transaction, row_id: RowId) -> None:
        """Remove an org; its data key goes first, and with it everything that was sealed. Its id keeps its policy."""
        tx.connection.execute(delete(tables.data_keys).where(tables.data_keys.c.owner == row_id))
        tx.connection.execute(delete(tables.access_tokens).where(tables.access_tokens.c.row_id == row_id))
        tx.connection.execute(delete(tables.credentials).where(tables.credentials.c.row_id == row_id))
        tx.connection.execute(delete(tables.idempotency).where(tables.idempotency.c.row_id == row_id))
        tx.connection.execute(delete(tables.approvals).where(tables.approvals.c.row_id == row_id))
        tx.connection.execute(delete(tables.leases).where(tables.leases.c.row_id == row_id))
        tx.connection.execute(delete(tables.describes).where(tables.describes.c.row_id == row_id))
        tx.connection.execute(delete(tables.orgs).where(tables.orgs.c.row_id == row_id))
        self._keys.pop(row_id, None)
        rows.changed_in(tx)

    # -- keys

    def _keep_access_in(self, tx: Transaction, key: Key, row_id: RowId, access: AccessToken) -> None:
        tx.connection.execute(delete(tables.access_tokens).where(tables.access_tokens.c.row_id == row_id))
        tx.connection.execute(
            insert(tables.access_tokens).values(
                row_id=row_id,
                token=key.seal_text(access.token, sealed_values.access_token(row_id, access.fencing)),
                instance_url=access.instance_url,
                fencing=access.fencing,
                obtained_at=tx.now,
            )
        )

    def key_in(self, tx: Transaction, row_id: RowId) -> Key:
        """An org's data key, made where there is none yet."""
        wrapped = tx.connection.execute(
            select(tables.data_keys.c.wrapped).where(tables.data_keys.c.owner == row_id)
        ).scalar()
        if wrapped is not None:
            return self._key(row_id, wrapped)
        key, wrapped = self._vault.new_data_key(row_id, ORG)
        tx.connection.execute(insert(tables.data_keys).values(owner=row_id, wrapped=wrapped))
        return key

    def open_with(self, row_id: str, wrapped: bytes, sealed_: bytes, context: Context) -> bytes:
        """Open what is sealed for an org, in any thread. Unsealable if it was not sealed there."""
        return self._key(row_id, wrapped).open(sealed_, context)

    def known_key(self, row_id: str) -> Key:
        """The data key of an org whose credential was opened here; KeyError otherwise."""
        return self._keys[row_id][1]

    def _next_key_in(self, tx: Transaction, row_id: RowId) -> Key:
        """A new data key for an org: an old credential does not open any more, if somebody puts it back."""
        keys = tables.data_keys
        wrapped = tx.connection.execute(select(keys.c.wrapped).where(keys.c.owner == row_id)).scalar()
        return self.key_in(tx, row_id) if wrapped is None else renew_data_key_in(tx, self._vault, row_id, wrapped)

    async def _unwrapped(self, row_id: str, wrapped: bytes) -> Key:
        """An owner's key, even if the ring must first be read again from a slow source."""

        async def attempt() -> Key:
            return self._key(row_id, wrapped)

        return await catching_up(attempt)

    def _key(self, row_id: str, wrapped: bytes) -> Key:
        known = self._keys.get(row_id)
        if known is not None and known[0] == wrapped:
            return known[1]
        key = self._vault.data_key(wrapped, row_id, ORG)
        self._keys[row_id] = (wrapped, key)
        return key

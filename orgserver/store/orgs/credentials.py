"""Every org's credential and cached access token, sealed under the org's data key, and those keys."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.names import RowId
from orgserver.model.orgs import AccessToken, Credential
from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs.rewrapping import ORG, renew_data_key_in
from orgserver.store.orgs.token_digests import TokenDigest, digest_columns, digest_token, read_unknown
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context, Key
from orgserver.vault.ring import RingBehind, Vault


class Credentials:
    """Reads, writes and opens them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._keys: dict[str, tuple[bytes, Key]] = {}
        """The wrapped form of each key that is at hand, and the key."""

    async def credential(self, connection: AsyncConnection, row_id: RowId) -> Credential | None:
        """Open an org's credential."""
        row = (await connection.execute(credential_of(row_id))).first()
        if row is None:
            return None
        await self.unwrap(row_id, row.wrapped)
        return self.open_credential(row_id, row)

    def open_credential(self, row_id: str, row: Row[Any]) -> Credential:
        """Open a row of ``credential_of``."""
        key = self._unwrap_now(row_id, row.wrapped)
        return Credential(
            client_id=row.client_id,
            client_secret=_open(key, row.client_secret, _client_secret_context(row_id)),
            refresh_token=_open(key, row.refresh_token, _refresh_token_context(row_id, row.fencing)),
            private_key=_open(key, row.private_key, _private_key_context(row_id)),
            username=row.username,
            audience=row.audience,
            explicit_audience=row.explicit_audience,
            fencing=row.fencing,
            given_digest=row.given,
        )

    async def access_token(self, connection: AsyncConnection, row_id: RowId) -> AccessToken | None:
        """Open an org's cached access token."""
        row = (await connection.execute(access_token_of(row_id))).first()
        if row is None:
            return None
        await self.unwrap(row_id, row.wrapped)
        return self.open_access_token(row_id, row)

    def open_access_token(self, row_id: str, row: Row[Any]) -> AccessToken:
        """Open a row of ``access_token_of``."""
        token = self._unwrap_now(row_id, row.wrapped).open_text(row.token, _access_token_context(row_id, row.fencing))
        return AccessToken(token, row.instance_url, row.fencing)

    async def digest_unknown(self, connection: AsyncConnection, limit: int) -> list[TokenDigest]:
        """Open some of the refresh tokens that are not known by a digest yet, and give theirs."""
        digests: list[TokenDigest] = []
        for row in await read_unknown(connection, limit):
            key = await self.unwrap(row.row_id, row.wrapped)
            token = key.open_text(row.refresh_token, _refresh_token_context(row.row_id, row.fencing))
            digests.append(TokenDigest(row.row_id, row.fencing, digest_token(token)))
        return digests

    def replace_in(self, tx: Transaction, row_id: RowId, credential: Credential, access: AccessToken | None) -> None:
        """Write an org's credential over the one it had."""
        # What was sent of the old credential says nothing about this one.
        for table in (tables.credentials, tables.access_tokens, tables.leases):
            tx.connection.execute(delete(table).where(table.c.row_id == row_id))
        key = self._renew_data_key_in(tx, row_id)
        tx.connection.execute(
            insert(tables.credentials).values(
                row_id=row_id,
                client_id=credential.client_id,
                client_secret=_seal(key, credential.client_secret, _client_secret_context(row_id)),
                refresh_token=_seal(key, credential.refresh_token, _refresh_token_context(row_id, credential.fencing)),
                private_key=_seal(key, credential.private_key, _private_key_context(row_id)),
                username=credential.username,
                audience=credential.audience,
                explicit_audience=credential.explicit_audience,
                fencing=credential.fencing,
                given=credential.given_digest,
                **digest_columns(credential.refresh_token, credential.fencing),
            )
        )
        if access is not None:
            self.store_access_token_in(tx, key, row_id, access)
        changed_in(tx, "org", row_id)

    def store_access_token_in(self, tx: Transaction, key: Key, row_id: RowId, access: AccessToken) -> None:
        """Write an access token over the one that is cached."""
        tx.connection.execute(delete(tables.access_tokens).where(tables.access_tokens.c.row_id == row_id))
        tx.connection.execute(
            insert(tables.access_tokens).values(
                row_id=row_id,
                token=key.seal_text(access.token, _access_token_context(row_id, access.fencing)),
                instance_url=access.instance_url,
                fencing=access.fencing,
                obtained_at=tx.now,
            )
        )

    def rotate_in(
        self, tx: Transaction, row_id: RowId, fencing: int, refresh_token: Secret | None, next_fencing: int
    ) -> bool:
        """Store the refresh token that follows one of this fencing number; False if another follows it already.

        The access token, and what is said of the org, stay as they are.
        """
        key = self.data_key_in(tx, row_id)
        written = tx.connection.execute(
            update(tables.credentials)
            .where(tables.credentials.c.row_id == row_id, tables.credentials.c.fencing == fencing)
            .values(
                fencing=next_fencing,
                refresh_token=_seal(key, refresh_token, _refresh_token_context(row_id, next_fencing)),
                **digest_columns(refresh_token, next_fencing),
            )
        )
        if written.rowcount == 0:
            return False
        self.touch_in(tx, row_id)
        return True

    def touch_in(self, tx: Transaction, row_id: RowId) -> None:
        """Note that an org's refresh token was used just now."""
        tx.connection.execute(update(tables.orgs).where(tables.orgs.c.row_id == row_id).values(refreshed_at=tx.now))

    def remember_audience_in(self, tx: Transaction, row_id: RowId, audience: str) -> None:
        """Note which audience an org's app takes."""
        its_own = tables.credentials.c.row_id == row_id
        tx.connection.execute(update(tables.credentials).where(its_own).values(audience=audience))

    def forget_access_token_in(self, tx: Transaction, row_id: RowId) -> None:
        """Let go of the access token that is stored."""
        tx.connection.execute(delete(tables.access_tokens).where(tables.access_tokens.c.row_id == row_id))

    def fencing_in(self, tx: Transaction, row_id: RowId) -> int:
        """The fencing number of an org's credential; 0 if it has none."""
        fencing = tx.connection.execute(
            select(tables.credentials.c.fencing).where(tables.credentials.c.row_id == row_id)
        ).scalar()
        return int(fencing or 0)

    async def data_key(self, connection: AsyncConnection, row_id: RowId) -> Key:
        """Unwrap an org's data key."""
        wrapped = (
            await connection.execute(select(tables.data_keys.c.wrapped).where(tables.data_keys.c.owner == row_id))
        ).scalar_one()
        return await self.unwrap(row_id, wrapped)

    def data_key_in(self, tx: Transaction, row_id: RowId) -> Key:
        """An org's data key, made where there is none yet."""
        wrapped = tx.connection.execute(
            select(tables.data_keys.c.wrapped).where(tables.data_keys.c.owner == row_id)
        ).scalar()
        if wrapped is not None:
            return self._unwrap_now(row_id, wrapped)
        key, wrapped = self._vault.new_data_key(row_id, ORG)
        tx.connection.execute(insert(tables.data_keys).values(owner=row_id, wrapped=wrapped))
        tx.after_commit.append(partial(self._keys.__setitem__, row_id, (wrapped, key)))  # if the store fails later
        return key

    def open_value(self, row_id: str, wrapped: bytes, value: bytes, context: Context) -> bytes:
        """Open what is sealed for an org, in any thread. Unsealable if it was not sealed there."""
        return self._unwrap_now(row_id, wrapped).open(value, context)

    def cached_data_key(self, row_id: str) -> Key:
        """The data key of an org whose credential was opened here; KeyError otherwise."""
        return self._keys[row_id][1]

    def _renew_data_key_in(self, tx: Transaction, row_id: RowId) -> Key:
        """A new data key for an org: an old credential does not open any more, if somebody puts it back."""
        keys = tables.data_keys
        wrapped = tx.connection.execute(select(keys.c.wrapped).where(keys.c.owner == row_id)).scalar()
        return self.data_key_in(tx, row_id) if wrapped is None else renew_data_key_in(tx, self._vault, row_id, wrapped)

    def forget_data_key(self, row_id: str) -> None:
        """Let go of the key of an org that was removed."""
        self._keys.pop(row_id, None)

    async def unwrap(self, row_id: str, wrapped: bytes) -> Key:
        """An owner's key, even if the ring must first be read again from a slow source."""
        try:
            return self._unwrap_now(row_id, wrapped)
        except RingBehind as behind:
            await asyncio.to_thread(behind.catch_up)
            return self._unwrap_now(row_id, wrapped)

    def _unwrap_now(self, row_id: str, wrapped: bytes) -> Key:
        cached = self._keys.get(row_id)
        if cached is not None and cached[0] == wrapped:
            return cached[1]
        key = self._vault.data_key(wrapped, row_id, ORG)
        self._keys[row_id] = (wrapped, key)
        return key


def credential_of(row_id: str) -> Select[Any]:
    """The row from which an org's credential is opened."""
    return (
        select(tables.credentials, tables.data_keys.c.wrapped)
        .join(tables.data_keys, tables.data_keys.c.owner == tables.credentials.c.row_id)
        .where(tables.credentials.c.row_id == row_id)
    )


def access_token_of(row_id: str) -> Select[Any]:
    """The row from which an org's cached access token is opened."""
    return (
        select(tables.access_tokens, tables.data_keys.c.wrapped)
        .join(tables.data_keys, tables.data_keys.c.owner == tables.access_tokens.c.row_id)
        .where(tables.access_tokens.c.row_id == row_id)
    )


def _open(key: Key, sealed: bytes | None, context: Context) -> Secret | None:
    """Open a value that may not be there."""
    return key.open_text(sealed, context) if sealed is not None else None


def _seal(key: Key, secret: Secret | None, context: Context) -> bytes | None:
    """Seal a value that may not be there."""
    return key.seal_text(secret, context) if secret is not None else None


def _private_key_context(row_id: str) -> Context:
    """Where a private key belongs."""
    return Context(row_id, "credentials", "private_key")


def _refresh_token_context(row_id: str, fencing: int) -> Context:
    """Where a refresh token belongs: to one fencing number, so that an older one put back does not open."""
    return Context(row_id, "credentials", "refresh_token", str(fencing))


def _client_secret_context(row_id: str) -> Context:
    """Where a client secret belongs."""
    return Context(row_id, "credentials", "client_secret")


def _access_token_context(row_id: str, fencing: int) -> Context:
    """Where a cached access token belongs."""
    return Context(row_id, "access_tokens", "token", str(fencing))

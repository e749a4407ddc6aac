"""Every login's credential and cached access token, sealed under its data key, and those keys."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.access.logins import LoginKey
from orgserver.model.names import RowId
from orgserver.model.orgs import AccessToken, Credential
from orgserver.model.secret import Secret
from orgserver.store import tables
from orgserver.store.catalog_version import changed_in
from orgserver.store.orgs.login_tables import (
    OWN,
    access_token_context,
    access_token_of,
    client_secret_context,
    credential_of,
    private_key_context,
    refresh_token_context,
    tables_of,
)
from orgserver.store.orgs.rewrapping import ORG, renew_data_key_in
from orgserver.store.orgs.token_digests import TokenDigest, digest_columns, digest_token, read_unknown
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context, Key, Unsealable
from orgserver.vault.ring import RingBehind, Vault


class Credentials:
    """Reads, writes and opens them. Methods ``…_in`` are changes for the writer."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._keys: dict[str, tuple[bytes, Key]] = {}
        """The wrapped form of each key that is at hand, and the key."""

    async def credential(self, connection: AsyncConnection, login: LoginKey) -> Credential | None:
        """Open a login's credential."""
        row = (await connection.execute(credential_of(login))).first()
        if row is None:
            return None
        await self.unwrap(login.id, row.wrapped)
        if login.is_own:
            await self.unwrap(login.row_id, row.app_wrapped)
        return self.open_credential(login, row)

    def credential_in(self, tx: Transaction, login: LoginKey) -> Credential | None:
        """The same in a change."""
        row = tx.connection.execute(credential_of(login)).first()
        return self.open_credential(login, row) if row is not None else None

    def open_credential(self, login: LoginKey, row: Row[Any]) -> Credential:
        """Open a row of ``credential_of``; Unsealable where it is somebody else's."""
        if login.is_own:
            return self._open_own(login, row)
        key, row_id = self._unwrap_now(login.id, row.wrapped), login.row_id
        return Credential(
            client_id=row.client_id,
            client_secret=_open(key, row.client_secret, client_secret_context(row_id)),
            refresh_token=_open(key, row.refresh_token, refresh_token_context(login, row.fencing)),
            private_key=_open(key, row.private_key, private_key_context(row_id)),
            username=row.username,
            audience=row.audience,
            explicit_audience=row.explicit_audience,
            fencing=row.fencing,
            given_digest=row.given,
        )

    def _open_own(self, login: LoginKey, row: Row[Any]) -> Credential:
        """What a person's login has of its own, with the app of its org: of that, only what this kind needs."""
        if (row.id, row.row_id, row.principal) != (login.id, login.row_id, login.principal):
            raise Unsealable("this login is somebody else's")
        key, app_key = self._unwrap_now(login.id, row.wrapped), self._unwrap_now(login.row_id, row.app_wrapped)
        is_signed, row_id = row.kind == "jwt", login.row_id
        return Credential(
            client_id=row.app_id if is_signed else row.client_id,
            client_secret=None if is_signed else _open(app_key, row.client_secret, client_secret_context(row_id)),
            refresh_token=_open(key, row.refresh_token, refresh_token_context(login, row.fencing)),
            private_key=_open(app_key, row.private_key, private_key_context(row_id)) if is_signed else None,
            username=row.username,
            audience=row.app_audience if row.explicit_audience else row.audience,
            explicit_audience=row.explicit_audience,
            fencing=row.fencing,
            given_digest=row.given,
        )

    async def access_token(self, connection: AsyncConnection, login: LoginKey) -> AccessToken | None:
        """Open a login's cached access token."""
        row = (await connection.execute(access_token_of(login))).first()
        if row is None:
            return None
        await self.unwrap(login.id, row.wrapped)
        return self.open_access_token(login, row)

    def access_token_in(self, tx: Transaction, login: LoginKey) -> AccessToken | None:
        """The same in a change."""
        row = tx.connection.execute(access_token_of(login)).first()
        return self.open_access_token(login, row) if row is not None else None

    def open_access_token(self, login: LoginKey, row: Row[Any]) -> AccessToken:
        """Open a row of ``access_token_of``."""
        token = self._unwrap_now(login.id, row.wrapped).open_text(row.token, access_token_context(login, row.fencing))
        return AccessToken(token, row.instance_url, row.fencing)

    async def digest_unknown(self, connection: AsyncConnection, limit: int) -> list[TokenDigest]:
        """Open some of the refresh tokens that are not known by a digest yet, and give theirs."""
        digests: list[TokenDigest] = []
        for row in await read_unknown(connection, limit):
            key = await self.unwrap(row.row_id, row.wrapped)
            login = LoginKey.shared(RowId(row.row_id))
            token = key.open_text(row.refresh_token, refresh_token_context(login, row.fencing))
            digests.append(TokenDigest(row.row_id, row.fencing, digest_token(token)))
        return digests

    def replace_in(self, tx: Transaction, row_id: RowId, credential: Credential, access: AccessToken | None) -> None:
        """Write an org's credential over the one it had."""
        # What was sent of the old credential says nothing about this one.
        for table in (tables.credentials, tables.access_tokens, tables.leases):
            tx.connection.execute(delete(table).where(table.c.row_id == row_id))
        key, login = self._renew_data_key_in(tx, row_id), LoginKey.shared(row_id)
        tx.connection.execute(
            insert(tables.credentials).values(
                row_id=row_id,
                client_id=credential.client_id,
                client_secret=_seal(key, credential.client_secret, client_secret_context(row_id)),
                private_key=_seal(key, credential.private_key, private_key_context(row_id)),
                username=credential.username,
                audience=credential.audience,
                explicit_audience=credential.explicit_audience,
                given=credential.given_digest,
                **_token_columns(key, login, credential.refresh_token, credential.fencing),
            )
        )
        if access is not None:
            self.store_access_token_in(tx, key, login, access)
        changed_in(tx, "org", row_id)

    def add_own_in(self, tx: Transaction, login: LoginKey, credential: Credential, access: AccessToken | None) -> None:
        """Write what a person's new login has of its own, under a data key of its own."""
        key = self.data_key_in(tx, login.id)
        tx.connection.execute(
            insert(OWN.credentials).values(
                id=login.id,
                client_id=credential.client_id,
                audience=credential.audience,
                given=credential.given_digest,
                **_token_columns(key, login, credential.refresh_token, credential.fencing),
            )
        )
        if access is not None:
            self.store_access_token_in(tx, key, login, access)

    def store_access_token_in(self, tx: Transaction, key: Key, login: LoginKey, access: AccessToken) -> None:
        """Write an access token over the one that is cached."""
        self.forget_access_token_in(tx, login)
        tx.connection.execute(
            insert(tables_of(login).access_tokens).values(
                token=key.seal_text(access.token, access_token_context(login, access.fencing)),
                instance_url=access.instance_url,
                fencing=access.fencing,
                obtained_at=tx.now,
                **tables_of(login).id_of(login),
            )
        )

    def rotate_in(
        self, tx: Transaction, login: LoginKey, fencing: int, refresh_token: Secret | None, next_fencing: int
    ) -> bool:
        """Store the refresh token that follows one of this fencing number; False if another follows it already.

        The access token, and what is said of the login, stay as they are.
        """
        where = tables_of(login)
        of = where.of(where.credentials, login), where.credentials.c.fencing == fencing
        if tx.connection.execute(select(where.credentials.c.fencing).where(*of)).first() is None:
            return False  # also of a login that has ended: its data key is not made anew
        key = self.data_key_in(tx, login.id)
        columns = _token_columns(key, login, refresh_token, next_fencing)
        tx.connection.execute(update(where.credentials).where(*of).values(columns))
        self.touch_in(tx, login)
        return True

    def touch_in(self, tx: Transaction, login: LoginKey) -> None:
        """Note that a login's refresh token was used just now."""
        where = tables_of(login)
        tx.connection.execute(update(where.state).where(where.of(where.state, login)).values(refreshed_at=tx.now))

    def remember_audience_in(self, tx: Transaction, login: LoginKey, audience: str) -> None:
        """Note which audience an org's app takes."""
        where = tables_of(login)
        its_own = where.of(where.credentials, login)
        tx.connection.execute(update(where.credentials).where(its_own).values(audience=audience))

    def forget_access_token_in(self, tx: Transaction, login: LoginKey) -> None:
        """Let go of the access token that is stored."""
        where = tables_of(login)
        tx.connection.execute(delete(where.access_tokens).where(where.of(where.access_tokens, login)))

    def fencing_in(self, tx: Transaction, login: LoginKey) -> int | None:
        """The fencing number of a login's credential; None if it has none."""
        where = tables_of(login)
        query = select(where.credentials.c.fencing).where(where.of(where.credentials, login))
        return tx.connection.execute(query).scalar()

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


def _open(key: Key, sealed: bytes | None, context: Context) -> Secret | None:
    """Open a value that may not be there."""
    return key.open_text(sealed, context) if sealed is not None else None


def _seal(key: Key, secret: Secret | None, context: Context) -> bytes | None:
    """Seal a value that may not be there."""
    return key.seal_text(secret, context) if secret is not None else None


def _token_columns(key: Key, login: LoginKey, refresh_token: Secret | None, fencing: int) -> dict[str, Any]:
    """A refresh token as it stands in the row of its credential."""
    sealed = _seal(key, refresh_token, refresh_token_context(login, fencing))
    return {"fencing": fencing, "refresh_token": sealed, **digest_columns(refresh_token, fencing)}

"""The open store: database, keys, orgs and audit log; the file and its first key are made when it is opened first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import DBAPIError

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import KeyProblem, StoreError
from orgserver.model.names import RowId, new_id
from orgserver.model.orgs import Caller
from orgserver.store import tables
from orgserver.store.audit import chain
from orgserver.store.audit.log import AuditLog
from orgserver.store.database import Database
from orgserver.store.engines.address import StoreAddress
from orgserver.store.engines.engine import Clock, ProcessLock
from orgserver.store.files import FREE_FLOOR
from orgserver.store.orgs import policies
from orgserver.store.orgs.refreshes import hold_copied_in, moment
from orgserver.store.orgs.registry import Orgs
from orgserver.store.orgs.rescue import Rescued, RescueFiles
from orgserver.store.orgs.rewrapping import WrappedKeys
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.processes.locks import PATIENCE
from orgserver.store.readiness import CANARY, canary_context
from orgserver.store.sql.statements import SQLITE
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Context, DataKey, Key, Unsealable
from orgserver.vault.ring import Vault
from orgserver.vault.signed_notes import Signer

if TYPE_CHECKING:
    from orgserver.store.orgs.connect_links import ConnectLinks
    from orgserver.store.orgs.revocations import Revocations
    from orgserver.store.signin.requests import Requests
    from orgserver.store.signin.sealing import SealingKey
    from orgserver.store.signin.sessions import Sessions

logger = logging.getLogger("orgserver.store")

LEAVING_SECONDS = 1.0
"""For the store, when a process ends: what is not written by then is found and closed as ``unknown``."""


@dataclass(frozen=True, slots=True)
class _StoreKeys:
    store_id: str
    store_key: Key
    audit_key: Key
    signer: Signer
    is_copy: bool = False
    has_unbound_policies: bool = False
    """Whether orgs of an older schema still have their policies to themselves."""


@dataclass(frozen=True, slots=True)
class Store:
    """Everything that is kept."""

    id: str
    database: Database
    orgs: Orgs
    audit: AuditLog
    cursors: Key
    """Seals what agents hold for us between calls."""
    rescue: RescueFiles
    wrapped_keys: WrappedKeys
    process_lock: ProcessLock

    @property
    def signin_requests(self) -> Requests:
        """Sign-ins under way."""
        from orgserver.store.signin.requests import Requests  # noqa: PLC0415  # no server on stdio needs it

        return Requests(self._sealing_key(), self.database.clock)

    @property
    def signin_sessions(self) -> Sessions:
        """Sessions of people who have signed in."""
        from orgserver.store.signin.sessions import Sessions  # noqa: PLC0415  # as above

        return Sessions(self._sealing_key(), self.database.clock)

    @property
    def connect_links(self) -> ConnectLinks:
        """Logins of people to orgs that are being given."""
        from orgserver.store.orgs.connect_links import ConnectLinks  # noqa: PLC0415  # as above

        return ConnectLinks(self._sealing_key())

    @property
    def revocations(self) -> Revocations:
        """Refresh tokens that are over, and that Salesforce has not been told of."""
        from orgserver.store.orgs.revocations import Revocations  # noqa: PLC0415  # as above

        return Revocations(self._sealing_key(), self.orgs.tell_of_revocation)

    def _sealing_key(self) -> SealingKey:
        from orgserver.store.signin.sealing import SealingKey  # noqa: PLC0415  # as above

        return SealingKey(self.wrapped_keys.vault, self.id)

    async def take_in_rescued(self) -> set[RowId]:
        """Store the token answers that were left beside the database; the orgs that got one."""
        row_ids: set[RowId] = set()
        for rescued in await asyncio.to_thread(self.rescue.waiting):
            is_stored = await self.database.write(partial(self._take_in, rescued=rescued))
            if is_stored is not None:
                await asyncio.to_thread(rescued.path.unlink, missing_ok=True)
            if is_stored:
                row_ids.add(rescued.login.id)
                logger.warning("a token answer that had been left beside the store was taken in")
        return row_ids

    def _take_in(self, tx: Transaction, rescued: Rescued) -> bool | None:
        is_stored = self.rescue.take_in(tx, rescued)
        if is_stored:
            intent = Intent(new_id(), "orgserver", "cli", Action.REFRESH, tool="rescue", org_row=rescued.login.row_id)
            self.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED))
        return is_stored

    async def hold_copied(self, caller: Caller | None = None) -> None:
        """In a copy that nobody has opened yet, hold every refresh token back; on record, and once."""
        count = await self.database.write(partial(self._hold_in, caller=caller))
        if count is not None:
            logger.warning("this store is a copy: the refresh tokens of %s orgs are held back", count)

    def _hold_in(self, tx: Transaction, caller: Caller | None) -> int | None:
        count = hold_copied_in(tx, _copied_cause)
        if count is not None:
            principal = caller.principal.name if caller else "orgserver"
            intent = Intent(new_id(), principal, "cli", Action.ENROL, tool="restore")
            self.audit.record_in(tx, intent, Completion(Outcome.SUCCEEDED, row_count=count))
        return count

    async def close(self) -> None:
        """Close it all; what waits is written first, if the store can be had within a second."""
        self.database.hurry(LEAVING_SECONDS)
        with suppress(StoreError):  # the process row is only a courtesy: it falls silent by itself
            await self.audit.leave()
        await self.database.close()
        await self.process_lock.aclose()


async def open_store(
    address: StoreAddress | Path,
    open_vault: Callable[[bool], Vault],
    *,
    heartbeat: float = 10.0,
    abandoned: float = 60.0,
    free_floor: int = FREE_FLOOR,
    migrate: bool = True,
    caller: Caller | None = None,
    patience: Patience = PATIENCE,
    clock: Clock | None = None,
) -> Store:
    """Open the store, made and migrated when needed; ``caller`` is who put it here, where it is a copy.

    ``open_vault(create)`` opens the key ring; it may make a key only for a store that holds nothing yet.
    Raises StoreError or KeyProblem with one sentence.
    """
    database = await Database.open(address, migrate=migrate, clock=clock, patience=patience)
    try:
        vault, keys = await _keys(database, open_vault)
    except BaseException:
        await database.close()
        raise
    audit = AuditLog(
        database,
        keys.audit_key,
        keys.store_id,
        keys.signer,
        heartbeat_us=int(heartbeat * 1_000_000),
        abandoned_us=int(abandoned * 1_000_000),
        free_floor=free_floor,
    )
    orgs = Orgs(vault)
    rescue, wrapped_keys = RescueFiles(database.beside, orgs), WrappedKeys(vault, keys.store_id)
    process_lock = database.engine.process_lock(audit.process_id)
    store = Store(keys.store_id, database, orgs, audit, keys.store_key, rescue, wrapped_keys, process_lock)
    try:
        await process_lock.prepare()
        if keys.is_copy:
            await store.hold_copied(caller)
        if keys.has_unbound_policies:
            await store.database.write(partial(_bind_in, log=audit))
        await store.take_in_rescued()
    except BaseException:
        await store.close()
        raise
    return store


def _bind_in(tx: Transaction, log: AuditLog) -> None:
    """Bind the policies of an older schema to org ids, each change on record in the same transaction."""
    for change in policies.bind_in(tx):
        log.record_in(tx, change.intent("migrate"), Completion(Outcome.SUCCEEDED))


def _copied_cause(made_at: datetime) -> str:
    return f"this store is a copy made at {moment(made_at)}; the original may have used the refresh token since"


async def _keys(database: Database, open_vault: Callable[[bool], Vault]) -> tuple[Vault, _StoreKeys]:
    row = await database.write(_read_row)
    vault = open_vault(row is None)
    return vault, await database.write(lambda tx: _load(tx, vault))


def _read_row(tx: Transaction) -> object:
    try:
        return tx.connection.execute(select(tables.store.c.id)).first()
    except DBAPIError as error:
        if tx.connection.dialect.name != SQLITE:
            raise  # a server may be away, too, and its words are not for people
        raise StoreError(f"the store is damaged: {error.orig}", hint="restore it from a backup") from None


def _load(tx: Transaction, vault: Vault) -> _StoreKeys:
    row = tx.connection.execute(select(tables.store)).first()
    if row is None:
        return _create(tx, vault)
    try:
        canary = vault.open(row.canary, canary_context(row.store_id))
        store_key = vault.data_key(row.store_key, row.store_id, "store")
        audit_key = vault.data_key(row.audit_key, row.store_id, "audit")
        signing_key = _signing_key(tx, vault, row)
    except Unsealable as error:
        raise KeyProblem("the master key is not the one this store was sealed with", hint=str(error)) from None
    if canary != CANARY:
        raise StoreError("the store's canary was changed from outside", hint="restore it from a backup")
    signer = _signer(row.store_id, signing_key)
    is_copy, unbound = row.copied_at is not None, policies.unbound_in(tx)
    return _StoreKeys(row.store_id, store_key, audit_key, signer, is_copy, unbound)


def _signing_key(tx: Transaction, vault: Vault, row: Row[Any]) -> DataKey:
    """The key that signs checkpoints; a store of an older version gets its own now."""
    if row.signing_key is not None:
        return vault.data_key(row.signing_key, row.store_id, "signing")
    key, wrapped = vault.new_data_key(row.store_id, "signing")
    tx.connection.execute(update(tables.store).values(signing_key=wrapped))
    return key


def _signer(store_id: str, key: DataKey) -> Signer:
    return Signer(f"orgserver/{store_id}", key.material())


def _create(tx: Transaction, vault: Vault) -> _StoreKeys:
    store_id = new_id()
    store_key, wrapped_store = vault.new_data_key(store_id, "store")
    audit_key, wrapped_audit = vault.new_data_key(store_id, "audit")
    signing_key, wrapped_signing = vault.new_data_key(store_id, "signing")
    tx.connection.execute(
        insert(tables.store).values(
            id=1,
            store_id=store_id,
            created_at=tx.now,
            canary=vault.seal(CANARY, canary_context(store_id)),
            store_key=wrapped_store,
            audit_key=wrapped_audit,
            signing_key=wrapped_signing,
            catalog_version=1,
        )
    )
    first = chain.genesis(store_id)
    sealed = audit_key.seal(bytes(8) + first, Context(store_id, "audit_head", "sealed"))
    tx.connection.execute(insert(tables.audit_head).values(id=1, sequence=0, hash=first, sealed=sealed))
    return _StoreKeys(store_id, store_key, audit_key, _signer(store_id, signing_key))

"""The composition root: the one place where long-lived things are made, and closed in reverse."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orgserver.config import Settings
from orgserver.model.orgs import Scope
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.connections import OpenTransport
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.calls.access import Access
from orgserver.services.calls.confirmation import Notify
from orgserver.services.key_rotation import Keys
from orgserver.services.observer import Observer
from orgserver.services.operations import Operations
from orgserver.services.orgs.enrolment import Enrolment
from orgserver.services.orgs.keepalive import KeepAlive
from orgserver.store.processes.heartbeat import keep_alive
from orgserver.store.processes.lock_file import PATIENCE
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.session import Store, open_store
from orgserver.vault.sources import open_vault

if TYPE_CHECKING:
    from orgserver.services.audit.retention import Retention
    from orgserver.services.orgs.import_plan import OrgImport
    from orgserver.services.undo.restorer import Restorer

_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class App:
    """Everything a command or a server works with; what stands above the store is made when it is first used."""

    settings: Settings
    store: Store
    access: Access
    observer: Observer | None = None
    notify: Notify | None = None

    @cached_property
    def operations(self) -> Operations:
        """What agents do in orgs."""
        return Operations(
            self.store,
            self.access,
            call_timeout=self.settings.call_timeout,
            observer=self.observer,
            notify=self.notify,
        )

    @cached_property
    def enrolment(self) -> Enrolment:
        """Registering orgs, and what is done with registered ones."""
        return Enrolment(self.store, self.access)

    @cached_property
    def org_import(self) -> OrgImport:
        """Registering many orgs at once."""
        from orgserver.services.orgs.import_plan import OrgImport  # noqa: PLC0415  # no server needs it

        return OrgImport(self.store, self.enrolment)

    @cached_property
    def keep_alive(self) -> KeepAlive:
        """Refreshing orgs that have been idle for long."""
        return KeepAlive(self.access, self.settings.keep_alive_days)

    @cached_property
    def audit_log(self) -> AuditLogReader:
        """The audit log, to be read."""
        return AuditLogReader(self.store)

    @cached_property
    def keys(self) -> Keys:
        """The master keys, and rotating them."""
        return Keys(self.store)

    def restorer(self) -> Restorer:
        """What puts back what agents changed."""
        from orgserver.services.undo.restorer import Restorer  # noqa: PLC0415  # no server needs it

        return Restorer(self.store, self.access, self.operations, self.audit_log)

    def retention(self) -> Retention:
        """What prunes the audit log."""
        from orgserver.services.audit.retention import Retention  # noqa: PLC0415  # no server needs it

        return Retention(self.store)

    async def close(self) -> None:
        """End what runs by itself."""
        if "operations" in vars(self):
            await self.operations.close()


@asynccontextmanager
async def open_app(
    settings: Settings,
    scope: Scope | None = None,
    observer: Observer | None = None,
    patience: Patience = PATIENCE,
    notify: Notify | None = None,
    transport: OpenTransport | None = None,
) -> AsyncIterator[App]:
    """Open the store and everything above it; OperatorError with one sentence when something stands in the way.

    ``patience`` is for a store that another process holds. ``notify`` shows a person that a question waits; without it
    nobody is shown anything. ``transport`` opens connections to orgs in place of the usual ones.
    """
    # The store's thread and the event loop hand the interpreter to each other twice a call; the default of
    # 5 ms between forced handovers shows in every p99.
    sys.setswitchinterval(_SWITCH_SECONDS)
    async with AsyncExitStack() as stack:
        store = await open_store(
            settings.database_file,
            lambda create: open_vault(settings, create=create),
            heartbeat=settings.heartbeat_seconds,
            abandoned=settings.abandoned_seconds,
            patience=patience,
        )
        stack.push_async_callback(store.close)
        client = SalesforceClient(
            concurrency=settings.org_concurrency,
            queue=settings.org_queue,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            token_seconds=settings.token_seconds,
            transport=transport,
        )
        stack.push_async_callback(client.aclose)
        access = Access(store, client, scope or Scope(), lease_seconds=settings.lease_seconds, observer=observer)
        stack.push_async_callback(access.tokens.close)
        app = App(settings, store, access, observer, notify)
        stack.push_async_callback(app.close)
        await store.audit.adopt()
        beating = asyncio.create_task(keep_alive(store.audit, settings.heartbeat_seconds, settings.abandoned_seconds))
        stack.push_async_callback(_stop, beating)
        yield app


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

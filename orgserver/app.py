"""The composition root: the one place where long-lived things are made, and closed in reverse."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orgserver.config import Settings
from orgserver.model.orgs import Scope
from orgserver.salesforce.client import SalesforceClient
from orgserver.salesforce.connections import Senders
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.services.calls.access import Access
from orgserver.services.calls.confirmation import Notify
from orgserver.services.composition import Services, make_services
from orgserver.services.connections.mapping import Mappings
from orgserver.services.connections.revoking import Revoker
from orgserver.services.key_rotation import MasterKeys
from orgserver.services.observer import Observer, ObserverPair
from orgserver.services.orgs.enrolment import Enrolment
from orgserver.services.orgs.keepalive import KeepAlive
from orgserver.services.orgs.registry import Registry
from orgserver.store.engines.engine import Clock
from orgserver.store.location import find_address
from orgserver.store.processes.lock_holders import Patience
from orgserver.store.processes.locks import PATIENCE
from orgserver.store.session import Store, open_store
from orgserver.vault.sources import open_vault

if TYPE_CHECKING:
    from orgserver.sandbox.server import Sandbox
    from orgserver.services.audit.retention import Retention
    from orgserver.services.audit.shipping.schedule import Schedule
    from orgserver.services.audit.shipping.shipper import Shipper
    from orgserver.services.calls.approvals import Approving
    from orgserver.services.calls.one_time_codes import OneTimeCodes
    from orgserver.services.configuration.reconciler import Reconciler
    from orgserver.services.orgs.alerts import Alerts
    from orgserver.services.orgs.import_plan import OrgImport
    from orgserver.services.people.composition import People
    from orgserver.services.signin.people.sessions import SignInSessions
    from orgserver.services.undo.restorer import Restorer

logger = logging.getLogger("orgserver.serve")
_SWITCH_SECONDS = 0.0005
_SHARE = 0.8
"""Of what a call may take, for a wait for the store that knows no deadline of its own."""
_STOPPED_SECONDS = 0.5
_SHIP_REST = 3.0


@dataclass(frozen=True)
class App:
    """Everything a command or a server works with; what stands above the store is made when it is first used."""

    settings: Settings
    store: Store
    access: Access
    observer: Observer | None = None
    notify: Notify | None = None

    @cached_property
    def services(self) -> Services:
        """What agents do in orgs."""
        return make_services(
            self.store, self.access, self.settings.call_timeout, self.observer, self.notify, self.mappings
        )

    @cached_property
    def mappings(self) -> Mappings:
        """Whom people are in orgs where one key logs everybody in."""
        return Mappings(self.store)

    @cached_property
    def registry(self) -> Registry:
        """What is known of registered orgs, and how they are checked, changed and removed."""
        return Registry(self.store, self.access)

    @cached_property
    def enrolment(self) -> Enrolment:
        """Registering orgs."""
        return Enrolment(self.store, self.access, self.registry)

    @cached_property
    def org_import(self) -> OrgImport:
        """Registering many orgs at once."""
        from orgserver.services.orgs.import_plan import OrgImport  # noqa: PLC0415  # no server needs it

        return OrgImport(self.store, self.access, self.registry, self.enrolment)

    @cached_property
    def reconciler(self) -> Reconciler:
        """What makes the store as files say."""
        from orgserver.services.configuration.reconciler import Reconciler  # noqa: PLC0415  # no server needs it

        return Reconciler(self.store, self.access, self.people)

    @cached_property
    def people(self) -> People:
        """Who may call: principals, groups and API keys."""
        from orgserver.services.people.composition import make_people  # noqa: PLC0415  # no server on stdio needs it

        return make_people(self.store, self.access)

    def sessions(self) -> SignInSessions:
        """Who is signed in."""
        from orgserver.services.signin.people.sessions import SignInSessions  # noqa: PLC0415  # no server on stdio needs it

        return SignInSessions(self.store)

    @cached_property
    def keep_alive(self) -> KeepAlive:
        """Refreshing orgs that have been idle for long."""
        return KeepAlive(self.access, self.settings.keep_alive_days)

    @cached_property
    def revoker(self) -> Revoker:
        """What tells Salesforce of logins that have ended."""
        return Revoker(self.store, self.access.client)

    @cached_property
    def audit_log(self) -> AuditLogReader:
        """The audit log, to be read."""
        return AuditLogReader(self.store)

    @cached_property
    def keys(self) -> MasterKeys:
        """The master keys, and rotating them."""
        return MasterKeys(self.store)

    def approvals(self) -> Approving:
        """What waits for a person's yes."""
        from orgserver.services.calls.approvals import Approving  # noqa: PLC0415  # no server needs it

        return Approving(self.store, self.access)

    def one_time_codes(self) -> OneTimeCodes:
        """The codes that a person gives with a yes."""
        from orgserver.services.calls.one_time_codes import OneTimeCodes  # noqa: PLC0415  # no server needs it

        return OneTimeCodes(self.store)

    def restorer(self) -> Restorer:
        """What puts back what agents changed."""
        from orgserver.services.undo.restorer import Restorer  # noqa: PLC0415  # no server needs it

        return Restorer(self.store, self.access, self.services.executor, self.audit_log)

    def retention(self) -> Retention:
        """What prunes the audit log."""
        from orgserver.services.audit.retention import Retention  # noqa: PLC0415  # no server needs it

        return Retention(self.store, self.shipper() if self.settings.ship_before_prune else None)

    def shipper(self, to: str | None = None, *, rest: float = 0.0) -> Shipper:
        """What ships the audit log, to a place or to the one that is set; ConfigError where there is none."""
        from orgserver.services.audit.shipping import address  # noqa: PLC0415  # only where somebody ships
        from orgserver.services.audit.shipping.shipper import Shipper  # noqa: PLC0415  # as above

        place = to if to is not None else address.require(self.settings.ship_to)
        store_folder = self.settings.home if self.settings.database_url is None else None
        return Shipper(self.store, address.open_target(place, store_folder), rest=rest)

    @cached_property
    def ship_schedule(self) -> Schedule | None:
        """What ships the audit log by itself, where that is set."""
        if self.settings.ship_to is None:
            return None
        from orgserver.services.audit.shipping.schedule import Schedule  # noqa: PLC0415  # as above

        return Schedule(self.shipper(rest=_SHIP_REST), self.settings.ship_every)

    async def close(self) -> None:
        """End what runs by itself."""
        if "services" in vars(self):
            await self.services.executor.close()
        if "people" in vars(self):
            await self.people.close()
        await self.revoker.close()


@asynccontextmanager
async def open_app(
    settings: Settings,
    scope: Scope | None = None,
    observer: Observer | None = None,
    patience: Patience = PATIENCE,
    notify: Notify | None = None,
    senders: Senders | None = None,
    clock: Clock | None = None,
    warn: Callable[[str], None] = logger.warning,
) -> AsyncIterator[App]:
    """Open the store and everything above it; OperatorError with one sentence when something stands in the way.

    ``patience`` is for a store that another process holds. ``notify`` shows a person that a question waits; without it
    nobody is shown anything. ``senders`` opens what sends to orgs in place of the usual ones. ``clock`` tells the
    store's time; ``warn`` is told what the operator should know and nothing fails of.
    """
    # The store's thread and the event loop hand the interpreter to each other twice a call; the default of
    # 5 ms between forced handovers shows in every p99.
    sys.setswitchinterval(_SWITCH_SECONDS)
    async with AsyncExitStack() as stack:
        store = await open_store(
            find_address(settings),
            lambda create: open_vault(settings, create=create),
            heartbeat=settings.heartbeat_seconds,
            abandoned=settings.abandoned_seconds,
            patience=patience,
            clock=clock,
        )
        stack.push_async_callback(store.close)
        if settings.alert_command is not None:
            alerts = _alerts(settings.alert_command, warn)
            store.orgs.on_state_change = alerts.add
            stack.push_async_callback(alerts.close)
        client = SalesforceClient(
            concurrency=settings.org_concurrency,
            queue=settings.org_queue,
            token_seconds=settings.token_seconds,
            senders=senders
            or Senders(concurrency=settings.org_concurrency, proxy=settings.proxy, ca_file=settings.ca_file),
        )
        stack.push_async_callback(client.aclose)
        access = Access(store, client, scope or Scope(), lease_seconds=settings.lease_seconds, observer=observer)
        stack.push_async_callback(access.tokens.close)
        app = App(settings, store, access, observer, notify)
        store.orgs.on_revocation = app.revoker.wake
        stack.push_async_callback(app.close)
        await store.audit.adopt()
        beating = asyncio.create_task(store.audit.run_heartbeat(settings.heartbeat_seconds, settings.abandoned_seconds))
        stack.push_async_callback(_stop, beating)
        yield app


@asynccontextmanager
async def open_server_app(settings: Settings, metrics: Observer | None = None) -> AsyncIterator[App]:
    """Open everything for a server of the scope that the settings name, with whoever is to see its calls."""
    from orgserver.telemetry.environment import observe  # noqa: PLC0415  # only servers need it

    with observe() as telemetry:  # ends last: it is to tell of every call
        observer = ObserverPair(telemetry, metrics) if telemetry and metrics else telemetry or metrics
        notify = await _desktop(settings)
        async with open_app(settings, _scope(settings), observer, Patience(tell=logger.warning), notify) as app:
            # By calls: never to their end, and not for somebody who does not go on by himself.
            patience = Patience(settings.call_timeout * _SHARE, stopped_seconds=_STOPPED_SECONDS, tell=logger.warning)
            app.store.database.wait_as(patience)
            yield app


@asynccontextmanager
async def open_playground(
    settings: Settings, register: Callable[[App, Sandbox], Awaitable[object]]
) -> AsyncIterator[App]:
    """Open everything over two pretend orgs, which ``register`` adds to the store."""
    from orgserver.sandbox.server import Sandbox  # noqa: PLC0415  # only to play
    from orgserver.telemetry.environment import observe  # noqa: PLC0415  # as above

    with observe() as observer:
        async with Sandbox.start(2) as sandbox, open_app(settings, _scope(settings), observer) as app:
            await register(app, sandbox)
            yield app


def _scope(settings: Settings) -> Scope:
    return Scope(
        orgs=frozenset(settings.orgs) or None,
        read_only=settings.read_only,
        toolsets=frozenset(settings.toolsets),
        tools=frozenset(settings.tools),
        exclude_tools=frozenset(settings.exclude_tools),
    )


async def _desktop(settings: Settings) -> Notify | None:
    """What shows questions on the desktop, if there is one and they are wanted there."""
    from orgserver.services.calls.notifications import Notifications  # noqa: PLC0415  # only servers need it

    desktop = await asyncio.to_thread(Notifications.of_system) if settings.notifications else None
    return desktop.show if desktop is not None else None


def _alerts(command: tuple[str, ...], warn: Callable[[str], None]) -> Alerts:
    from orgserver.services.orgs.alerts import Alerts  # noqa: PLC0415  # only where a command is set

    return Alerts(command, warn=warn)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

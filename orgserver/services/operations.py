"""The verbs on records. Each is one plan, done by ``Acting``: the one way to read or change a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from orgserver.model.audit import Action
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import Changed, Created, FieldValues, Page, Record
from orgserver.services.bulk.operation import Bulk
from orgserver.services.calls import audit_records
from orgserver.services.calls.access import Access
from orgserver.services.calls.confirmation import Notify
from orgserver.services.calls.plan import Plan
from orgserver.services.describe.names import CachedNames
from orgserver.services.describe.operations import DescribeOperations
from orgserver.services.executor import Acting, Planned, Run
from orgserver.services.fleet.fan_out import Fleet
from orgserver.services.observer import Observer
from orgserver.services.orgs.directory import Directory, OrgPage
from orgserver.services.queries.list_query import Listing
from orgserver.services.queries.page_plans import PagePlanner
from orgserver.services.records import operations
from orgserver.services.records.default_fields import DefaultFields
from orgserver.services.records.preparation import Preparation
from orgserver.services.records.writing import Writing
from orgserver.store.session import Store

T = TypeVar("T")


class Operations:
    """The verbs on records. Each raises CallError when it did not succeed, with everything the agent may know."""

    def __init__(
        self,
        store: Store,
        access: Access,
        *,
        call_timeout: float,
        observer: Observer | None = None,
        notify: Notify | None = None,
    ) -> None:
        acting = Acting(store, access, call_timeout=call_timeout, observer=observer, notify=notify)
        self._acting = acting
        self.perform, self.refuse = acting.perform, acting.refuse
        self.give_up, self.close = acting.give_up, acting.close
        self.metadata = acting.metadata
        self.known = CachedNames(access, acting.metadata)
        describes = DescribeOperations(acting.metadata, store.cursors, acting.perform)
        self.describe, self.objects = describes.describe, describes.objects
        self.fleet = Fleet(self.query, acting.refuse, access)
        self._directory = Directory(access, store.cursors, store.database.file)
        default_fields = DefaultFields()
        self.preparation = Preparation(acting.metadata.schema)
        self._plans = operations.Planner(default_fields)
        self._pages = PagePlanner(store.cursors, acting.metadata.schema, default_fields)
        self._writing = Writing(self.preparation)
        self.bulk = Bulk(store, access, acting.perform, self.preparation, call_timeout=call_timeout)

    async def create(
        self,
        caller: Caller,
        tool: str,
        alias: str,
        sobject: SObjectName,
        values: FieldValues,
        *,
        idempotency_key: str | None = None,
        allow_duplicates: bool = False,
    ) -> Created:
        """Create a record."""

        def plan(org: Org) -> Plan[Created]:
            return self._writing.create(
                caller, org, tool, sobject, values, idempotency_key, allow_duplicates=allow_duplicates
            )

        return await self._acting.intent(Run(caller, tool, Action.CREATE, alias, sobject, plan))

    async def read(
        self,
        caller: Caller,
        tool: str,
        alias: str,
        sobject: SObjectName,
        record_id: str,
        fields: Sequence[str] | None = None,
    ) -> Record:
        """Read one record."""

        def plan(_org: Org) -> Plan[Record]:
            return self._plans.read(sobject, record_id, fields, tool)

        return await self._acting.intent(Run(caller, tool, Action.READ, alias, sobject, plan))

    async def update(
        self,
        caller: Caller,
        tool: str,
        alias: str,
        sobject: SObjectName,
        record_id: str,
        values: FieldValues,
        *,
        if_unmodified_since: str | None = None,
        preview: bool = False,
        allow_duplicates: bool = False,
    ) -> Changed:
        """Change fields of one record, or show what would change."""

        def plan(org: Org) -> Plan[Changed]:
            return self._writing.update(
                caller,
                org,
                tool,
                sobject,
                record_id,
                values,
                if_unmodified_since,
                preview=preview,
                allow_duplicates=allow_duplicates,
            )

        action = Action.PREVIEW if preview else Action.UPDATE
        return await self._acting.intent(Run(caller, tool, action, alias, sobject, plan))

    async def delete(
        self, caller: Caller, tool: str, alias: str, sobject: SObjectName, record_id: str, *, preview: bool = False
    ) -> Changed:
        """Delete one record, or show what would be deleted."""

        def plan(_org: Org) -> Plan[Changed]:
            return self._plans.delete(sobject, record_id, tool, preview=preview)

        action = Action.PREVIEW if preview else Action.DELETE
        return await self._acting.intent(Run(caller, tool, action, alias, sobject, plan))

    async def list(self, caller: Caller, tool: str, alias: str, listing: Listing) -> Page:
        """List records of one object."""

        def plan(org: Org) -> Plan[Page]:
            return self._pages.list(caller, org, listing)

        return await self._acting.intent(Run(caller, tool, Action.LIST, alias, listing.sobject, plan))

    async def query(
        self,
        caller: Caller,
        tool: str,
        alias: str,
        soql: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        include_deleted: bool = False,
        count: bool = False,
        seconds: float | None = None,
    ) -> Page:
        """Run a SOQL query, in so many seconds if less than a call may take."""

        def plan(org: Org) -> Plan[Page]:
            return self._pages.query(caller, org, soql, limit, cursor, include_deleted=include_deleted, count=count)

        return await self._acting.intent(Run(caller, tool, Action.QUERY, alias, None, plan, seconds=seconds))

    async def undo(self, caller: Caller, alias: str, sobject: SObjectName, plan: Planned[T], undoes: str | None) -> T:
        """Undo an act, or (None) look at what that would meet, by a plan that ``undo/operations`` made."""
        action = "undo" if undoes else Action.PREVIEW
        return await self._acting.intent(Run(caller, "audit undo", action, alias, sobject, plan, undoes))

    async def orgs(self, caller: Caller, tool: str, match: str | None, cursor: str | None) -> OrgPage:
        """Name the orgs this principal may use. Asks no org, so it is no audit entry."""
        intent = replace(audit_records.new_intent(caller, tool, Action.LIST, "", None), id="")
        return await self._acting.seen(intent, self._directory.page(caller, match, cursor))

"""Field values made ready to be sent, with what only the org can tell: types, picklists, keys of parents, events.

A call's own checks know the fields that every org has. The rest is read within the call, after its intent is on record
and before anything is changed: the object's describe (kept up to a day; before a value is refused it is asked for
anew), and, of events whose times may be days, what they are now. A describe that cannot be had stops nothing that
needs none: then Salesforce judges the values as they came.
"""

from __future__ import annotations

import asyncio

from orgserver.model.errors import CallError, Rejected
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller
from orgserver.model.results import FieldValues
from orgserver.model.schema import Schema
from orgserver.salesforce.protocol import rest
from orgserver.services.calls import snapshot
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.preflight import Problem, refusal
from orgserver.services.describe.schemas import Schemas
from orgserver.services.records import appointments, event_times
from orgserver.services.records.conversion_by_schema import Conversion, parent_types
from orgserver.services.records.draft import Draft, Parent, Values
from orgserver.services.records.event_lookup import EventLookup

_SECONDS = 10.0
"""How long a write waits for a describe that it can do without."""
_MANY = 200
"""Records from which on they are converted in a thread."""


class Preparation:
    """Makes drafts ready."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    async def prepare(self, caller: Caller, session: OrgSession, draft: Draft) -> Values:
        """The values of a draft of one record."""
        (record,) = await self.ready(session, caller, draft)
        body, fields = draft.values(record)
        return body, await _with_parent_ids(session, fields) if session.policy.keep_values else fields

    async def ready(self, session: OrgSession, caller: Caller, draft: Draft) -> list[FieldValues]:
        """The records as they will be sent; InvalidArgument names all that is wrong."""
        records = list(draft.records)
        if draft.needs_types:
            records = await self._convert(session, caller, draft)
        if not draft.needs_events:
            return records
        events = EventLookup(draft.key)
        await events.read(session, records)
        zone = appointments.user_zone(session.org)
        return [
            event_times.prepare_times(each, events.state(each), zone, draft.place(index))
            if event_times.depends_on_event(each, draft.action)
            else each
            for index, each in enumerate(records)
        ]

    async def _convert(self, session: OrgSession, caller: Caller, draft: Draft) -> list[FieldValues]:
        required = any(isinstance(value, list | dict) for each in draft.records for value in each.values())
        schema = await self._schema(session, caller, draft.sobject, required=required)
        if schema is None:
            return list(draft.records)
        records, problems = await self._convert_by(session, caller, draft, schema)
        if problems:  # the schema may be older than the org
            schema = await self._schemas.schema(session, caller, draft.sobject, sure=True)
            records, problems = await self._convert_by(session, caller, draft, schema, sure=True)
        if problems:
            raise refusal(problems)
        return records

    async def _schema(
        self, session: OrgSession, caller: Caller, sobject: SObjectName, *, required: bool, sure: bool = False
    ) -> Schema | None:
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._schemas.schema(session, caller, sobject, sure=sure)
        except (CallError, TimeoutError):
            if required:
                raise
            return None

    async def _convert_by(
        self, session: OrgSession, caller: Caller, draft: Draft, schema: Schema, *, sure: bool = False
    ) -> tuple[list[FieldValues], list[Problem]]:
        parent_schemas: dict[str, Schema | None] = {}
        for each in parent_types(draft.records, schema):
            parent_schemas[each] = await self._schema(session, caller, SObjectName(each), required=True, sure=sure)
        conversion = Conversion(draft, schema, parent_schemas)
        return await asyncio.to_thread(conversion.run) if len(draft.records) > _MANY else conversion.run()


async def _with_parent_ids(session: OrgSession, fields: FieldValues) -> FieldValues:
    """The values with the ids of parents: a snapshot must have what will be there."""
    values: FieldValues = {}
    for name, value in fields.items():
        if not isinstance(value, Parent):
            values[name] = value
            continue
        key = (value.key, str(value.value))
        request = rest.read_by_key(session.org.api_version, SObjectName(value.target), key, ("Id",))
        try:
            values[name] = (await snapshot.read_first(session, request, rest.read_record)).get("Id")
        except Rejected as error:
            if error.category not in ("not_found", "conflict"):
                raise
            values[name] = None  # Salesforce refuses the change, and says why
    return values

"""Plans for creating, updating, upserting and deleting one record, or for showing what an update or delete would do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import structs

from orgserver.model import times
from orgserver.model.access.acts import PathUse
from orgserver.model.access.principals import Permission
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.errors import InvalidArgument, Rejected
from orgserver.model.names import EVENT, SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import Changed, Created, FieldValues, Upserted
from orgserver.salesforce.protocol import rest
from orgserver.services.calls import idempotency, questions
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.records import appointments, field_values, reading, recovery_hints, uses
from orgserver.services.records.default_fields import DefaultFields
from orgserver.services.records.draft import Draft, field_paths
from orgserver.services.records.preparation import Preparation
from orgserver.services.records.upsert import Upsert, plan_upsert
from orgserver.services.results import change_preview
from orgserver.store.audit.snapshots import COSTS, SnapshotSpec


class WriteOperations:
    """Makes plans. Every method raises InvalidArgument naming the argument that is wrong."""

    def __init__(self, preparation: Preparation, default_fields: DefaultFields) -> None:
        self._preparation = preparation
        self._default_fields = default_fields

    def create(
        self, values: FieldValues, *, idempotency_key: str | None = None, allow_duplicates: bool = False
    ) -> Operation[Created]:
        """Create a record."""

        def plan(call: Call, org: Org) -> Plan[Created]:
            return self._plan_create(
                call.caller, org, call.tool, call.object, values, idempotency_key, allow_duplicates=allow_duplicates
            )

        return Operation(Action.CREATE, plan)

    def update(
        self,
        record_id: str,
        values: FieldValues,
        *,
        if_unmodified_since: str | None = None,
        preview: bool = False,
        allow_duplicates: bool = False,
        id_argument: str = "record_id",
    ) -> Operation[Changed]:
        """Change fields of one record, or show what would change; ``id_argument`` is what the tool calls its id."""

        def plan(call: Call, org: Org) -> Plan[Changed]:
            return self._plan_update(
                call.caller,
                org,
                id_argument,
                call.object,
                record_id,
                values,
                if_unmodified_since,
                preview=preview,
                allow_duplicates=allow_duplicates,
            )

        return Operation(Action.PREVIEW if preview else Action.UPDATE, plan)

    def upsert(self, upsert: Upsert) -> Operation[Upserted]:
        """Create the record with an external id, or change it."""
        return Operation(
            Action.UPSERT, lambda call, org: plan_upsert(call.caller, org, call.tool, upsert, self._preparation)
        )

    def delete(self, record_id: str, *, preview: bool = False, id_argument: str = "record_id") -> Operation[Changed]:
        """Delete one record, or show what would be deleted."""

        def plan(call: Call, _org: Org) -> Plan[Changed]:
            return self._plan_delete(call.object, record_id, id_argument, preview=preview)

        return Operation(Action.PREVIEW if preview else Action.DELETE, plan)

    def _plan_create(
        self,
        caller: Caller,
        org: Org,
        tool: str,
        sobject: SObjectName,
        data: FieldValues,
        key: str | None,
        *,
        allow_duplicates: bool = False,
    ) -> Plan[Created]:
        if allow_duplicates:
            field_values.check_duplicates_possible(org.api_version)
        values = field_values.check_field_values(data, sobject, "create")
        names_written = tuple(values)
        arguments: dict[str, Any] = {"tool": tool, "object": sobject, "data": values}
        arguments |= {"allow_duplicates": True} if allow_duplicates else {}
        idempotency_key = None
        if key is not None:
            principal = caller.principal.name
            idempotency_key = idempotency.read_key(key, principal=principal, row_id=org.row_id, arguments=arguments)

        confirm = questions.of_new_record("create", sobject, arguments, lambda: questions.given_names([values]))

        def make(body: FieldValues, fields: FieldValues) -> Plan[Created]:
            async def send(session: OrgSession) -> Created:
                warnings = await appointments.overlap_warnings(session, body) if sobject == EVENT else ()
                request = rest.create(org.api_version, sobject, body, allow_duplicates=allow_duplicates)
                record_id = await session.call(request, rest.read_created)
                return Created(record_id, f"{session.org.instance_url}/{record_id}", warnings, names_written)

            return Plan(
                "write",
                send,
                lambda created: Completion(Outcome.SUCCEEDED, record_ids=(created.id,)),
                fields=field_paths(values),
                writes=True,
                idempotency_key=idempotency_key,
                remember=idempotency.remember,
                recall=lambda answer: idempotency.recall(answer, names_written),
                after_unknown=lambda session: recovery_hints.create_hint(session, sobject, body),
                snapshot=SnapshotSpec(sobject, after=fields),
                preflight=field_values.check_by_describe(sobject, values, "create"),
                confirm=confirm,
                uses=uses.write_uses(sobject, ("create",), (values,)),
            )

        return Draft(sobject, "create", (values,)).plan(make, partial(self._preparation.prepare, caller))

    def _plan_update(
        self,
        caller: Caller,
        org: Org,
        id_argument: str,
        sobject: SObjectName,
        record_id_text: str,
        data: FieldValues,
        if_unmodified_since: str | None,
        *,
        preview: bool,
        allow_duplicates: bool = False,
    ) -> Plan[Changed]:
        if allow_duplicates:
            field_values.check_duplicates_possible(org.api_version)
        record_id = field_values.read_record_id(id_argument, record_id_text, sobject)
        values = field_values.check_field_values(data, sobject, "update")
        since = _modified(if_unmodified_since)
        names_written = tuple(values)
        arguments = {"data": values, "since": if_unmodified_since, "allow_duplicates": allow_duplicates}
        confirm = None if preview else questions.of_record("update", sobject, record_id, arguments)
        touched = uses.write_uses(sobject, ("update",), (values,), () if since is None else (uses.GUARD,))

        def make(body: FieldValues, fields: FieldValues) -> Plan[Changed]:
            async def send(session: OrgSession) -> Changed:
                version = session.org.api_version
                request = rest.update(version, sobject, record_id, body, since, allow_duplicates=allow_duplicates)
                try:
                    await session.call(request, rest.read_changed)
                except Rejected as error:
                    if since is not None:
                        await recovery_hints.add_last_change(session, sobject, record_id, error)
                    raise
                return Changed(record_id, names_written)

            async def show(session: OrgSession) -> Changed:
                changes, warnings = await reading.read_one(
                    session,
                    sobject,
                    record_id,
                    ("Id", *fields),
                    lambda record: change_preview.preview_update(record, fields),
                )
                warnings = (*warnings, *_costs(session))
                return Changed(record_id, names_written, preview=True, changes=changes, warnings=warnings)

            plan = _plan_change(
                record_id,
                field_paths(values),
                show if preview else send,
                "write",
                SnapshotSpec(sobject, record_id, tuple(fields), fields),
                recovery_hints.update_hint(sobject, record_id, field_paths(values)),
                uses.preview_uses(touched) if preview else touched,
                preview=preview,
            )
            preflight = field_values.check_by_describe(sobject, values, "update")
            return structs.replace(plan, preflight=preflight, confirm=confirm)

        draft = Draft(sobject, "update", ({"Id": record_id} | values,))
        return draft.plan(make, partial(self._preparation.prepare, caller))

    def _plan_delete(
        self, sobject: SObjectName, record_id_text: str, id_argument: str, *, preview: bool
    ) -> Plan[Changed]:
        record_id = field_values.read_record_id(id_argument, record_id_text, sobject)

        async def send(session: OrgSession) -> Changed:
            request = rest.delete(session.org.api_version, sobject, record_id)
            await session.call(request, rest.read_changed)
            return Changed(record_id)

        async def show(session: OrgSession) -> Changed:
            def read(fields: tuple[str, ...]) -> Awaitable[change_preview.Changes]:
                return reading.read_one(session, sobject, record_id, fields, change_preview.preview_delete)

            changes, warnings = await self._default_fields.ask(session, sobject, None, read)
            return Changed(record_id, preview=True, changes=changes, warnings=(*warnings, *_costs(session)))

        snapshot = SnapshotSpec(sobject, record_id)
        after = recovery_hints.delete_hint(sobject, record_id)
        touched: tuple[PathUse, ...] = (PathUse(sobject, "delete"),)
        if preview:
            touched = (*touched, *uses.read_uses(sobject, None))
        send_or_show = show if preview else send
        plan = _plan_change(record_id, (), send_or_show, "delete", snapshot, after, touched, preview=preview)
        return plan if preview else structs.replace(plan, confirm=questions.of_record("delete", sobject, record_id))


def _plan_change(
    record_id: str,
    fields: tuple[str, ...],
    send: Callable[[OrgSession], Awaitable[Changed]],
    permission: Permission,
    snapshot: SnapshotSpec,
    after: str,
    touched: tuple[PathUse, ...],
    *,
    preview: bool,
) -> Plan[Changed]:
    """Plan to change or delete one record, or to show that."""
    return Plan(
        "read" if preview else permission,
        send,
        lambda _changed: Completion(Outcome.SUCCEEDED),
        record_ids=(record_id,),
        fields=fields,
        writes=not preview,
        after_unknown=None if preview else (lambda _session: after),
        snapshot=None if preview else snapshot,
        uses=touched,
    )


def _costs(session: OrgSession) -> tuple[str, ...]:
    """What a preview says of an org that keeps what changes replace."""
    return (COSTS,) if session.policy.keep_values else ()


def _modified(text: str | None) -> datetime | None:
    if text is None:
        return None
    if not times.is_datetime(text):
        raise InvalidArgument(
            "if_unmodified_since is no time with its offset; give the LastModifiedDate that you read",
            fields=["if_unmodified_since"],
        )
    return datetime.fromisoformat(text)

"""What each verb will do in one org, decided before anything is sent: arguments checked, requests made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.names import EVENT, RecordId, SObjectName
from orgserver.model.orgs import Org, Permission
from orgserver.model.results import Changed, FieldValues, Record
from orgserver.salesforce import soql as soql_text
from orgserver.salesforce.protocol import rest
from orgserver.services.calls import preflight, questions
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.records import appointments, field_values, recovery_hints
from orgserver.services.records.appointments import Attendees
from orgserver.services.records.default_fields import DefaultFields
from orgserver.services.results import change_preview, result_size
from orgserver.store.audit.snapshots import COSTS, SnapshotSpec

T = TypeVar("T")


class RecordOperations:
    """Makes plans. Every method raises InvalidArgument naming the argument that is wrong."""

    def __init__(self, default_fields: DefaultFields) -> None:
        self._default_fields = default_fields
        self._attendees = Attendees()

    def read(
        self, record_id: str, fields: Sequence[str] | None = None, *, id_argument: str = "record_id"
    ) -> Operation[Record]:
        """Read one record; ``id_argument`` is what the tool calls its id."""
        return Operation(Action.READ, lambda call, _org: self._plan_read(call.object, record_id, fields, id_argument))

    def delete(self, record_id: str, *, preview: bool = False, id_argument: str = "record_id") -> Operation[Changed]:
        """Delete one record, or show what would be deleted."""

        def plan(call: Call, _org: Org) -> Plan[Changed]:
            return self._plan_delete(call.object, record_id, id_argument, preview=preview)

        return Operation(Action.PREVIEW if preview else Action.DELETE, plan)

    def _plan_read(
        self, sobject: SObjectName, record_id_text: str, fields: Sequence[str] | None, id_argument: str
    ) -> Plan[Record]:
        record_id = field_values.read_record_id(id_argument, record_id_text, sobject)
        names_read = field_values.read_field_names(fields, sobject)

        async def send(session: OrgSession) -> Record:
            shape = record_shape(session.org, sobject, fields)
            record = await self._default_fields.ask(
                session,
                sobject,
                fields,
                lambda names: read_one(
                    session, sobject, record_id, names, lambda row: result_size.bound_record(shape(row))
                ),
            )
            if sobject != EVENT or fields is not None:
                return record
            with_attendees = result_size.bound_record(record.values | await self._attendees.read(session, record_id))
            return replace(with_attendees, warnings=(*record.warnings, *with_attendees.warnings))

        return Plan(
            "read",
            send,
            lambda _record: Completion(Outcome.SUCCEEDED, row_count=1),
            record_ids=(record_id,),
            fields=names_read,
            preflight=preflight.check_fields(sobject, () if fields is None else names_read),
        )

    def _plan_delete(
        self, sobject: SObjectName, record_id_text: str, id_argument: str, *, preview: bool
    ) -> Plan[Changed]:
        record_id = field_values.read_record_id(id_argument, record_id_text, sobject)

        async def send(session: OrgSession) -> Changed:
            request = rest.delete(session.org.api_version, sobject, record_id)
            await session.call(request, rest.read_changed)
            return Changed(record_id)

        async def show(session: OrgSession) -> Changed:
            fields = field_values.read_field_names(None, sobject)
            changes, warnings = await read_one(session, sobject, record_id, fields, change_preview.preview_delete)
            return Changed(record_id, preview=True, changes=changes, warnings=(*warnings, *costs(session)))

        snapshot = SnapshotSpec(sobject, record_id)
        after = recovery_hints.delete_hint(sobject, record_id)
        plan = changing(record_id, (), show if preview else send, "delete", snapshot, after, preview=preview)
        return plan if preview else replace(plan, confirm=questions.of_record(sobject, record_id))


def changing(
    record_id: str,
    fields: tuple[str, ...],
    send: Callable[[OrgSession], Awaitable[Changed]],
    permission: Permission,
    snapshot: SnapshotSpec,
    after: str,
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
    )


def record_shape(org: Org, sobject: SObjectName, fields: Sequence[str] | None) -> Callable[[FieldValues], FieldValues]:
    """How a record is told: without the empty fields when nobody named any."""
    zone = appointments.user_zone(org)

    def shape(record: FieldValues) -> FieldValues:
        values = result_size.without_nulls(record) if fields is None else record
        return appointments.show_event(values, zone, fields) if sobject == EVENT else values

    return shape


def costs(session: OrgSession) -> tuple[str, ...]:
    """What a preview says of an org that keeps what changes replace."""
    return (COSTS,) if session.org.policy.keep_values else ()


async def read_one(
    session: OrgSession,
    sobject: SObjectName,
    record_id: RecordId,
    fields: Sequence[str],
    shape: Callable[[FieldValues], T],
) -> T:
    """Read a record into its shape, which is small where the record may be large."""
    version = session.org.api_version
    plain = tuple(name for name in fields if "." not in name)
    if len(plain) < len(fields):
        text = f"SELECT {', '.join(fields)} FROM {sobject} WHERE Id = {soql_text.literal(record_id)}"  # noqa: S608
        request = rest.query(version, text, 200, include_deleted=False)
        shapes = await session.call(request, lambda reply: [shape(each) for each in rest.read_page(reply).records[:1]])
        if shapes:
            return shapes[0]
        # Queries leave archived events out; and this one's refusal has Salesforce's words.
    request = rest.read(version, sobject, record_id, plain)
    return await session.call(request, lambda reply: shape(rest.read_record(reply)))

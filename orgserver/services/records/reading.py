"""Plans for reading one record, and the record in the shape that agents get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.names import EVENT, RecordId, SObjectName
from orgserver.model.orgs import Org
from orgserver.model.results import FieldValues, Record
from orgserver.salesforce import soql as soql_text
from orgserver.salesforce.protocol import rest
from orgserver.services.calls import preflight
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Operation, Plan
from orgserver.services.records import appointments, field_values, uses
from orgserver.services.records.appointments import Attendees
from orgserver.services.records.default_fields import DefaultFields
from orgserver.services.results import result_size

T = TypeVar("T")


class ReadOperations:
    """Makes plans of reads; InvalidArgument names the argument that is wrong."""

    def __init__(self, default_fields: DefaultFields) -> None:
        self._default_fields = default_fields
        self._attendees = Attendees()

    def read(
        self, record_id: str, fields: Sequence[str] | None = None, *, id_argument: str = "record_id"
    ) -> Operation[Record]:
        """Read one record; ``id_argument`` is what the tool calls its id."""
        return Operation(Action.READ, lambda call, _org: self._plan_read(call.object, record_id, fields, id_argument))

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
                names_read if fields is not None else None,
                lambda names: read_one(
                    session,
                    sobject,
                    record_id,
                    names,
                    lambda row: result_size.bound_record(shape(row) if shape is not None else row),
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
            uses=uses.read_uses(sobject, fields),
        )


def record_shape(
    org: Org, sobject: SObjectName, fields: Sequence[str] | None
) -> Callable[[FieldValues], FieldValues] | None:
    """How a record is told: without the empty fields when nobody named any; None where it is told as it came."""
    if sobject != EVENT:
        return result_size.without_nulls if fields is None else None
    zone = appointments.user_zone(org)

    def shape(record: FieldValues) -> FieldValues:
        values = result_size.without_nulls(record) if fields is None else record
        return appointments.show_event(values, zone, fields)

    return shape


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

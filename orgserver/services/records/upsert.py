"""Plans an upsert: the record with an external id is changed if it is there, and created if not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from orgserver.model import names
from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import FieldValues, Upserted
from orgserver.model.text import is_blank
from orgserver.salesforce.protocol import rest
from orgserver.services.calls import idempotency, questions
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.records import field_values, recovery_hints
from orgserver.services.records.draft import Draft, field_paths
from orgserver.services.records.preparation import Preparation
from orgserver.services.records.uses import write_uses
from orgserver.store.audit.snapshots import SnapshotSpec

MAX_EXTERNAL_ID = 255
_NO_SEGMENT = frozenset({".", ".."})
"""What a URL takes for a step, however it is written."""


@dataclass(frozen=True, slots=True)
class Upsert:
    """The arguments of an upsert."""

    sobject: SObjectName
    field: str
    external_id: str
    data: FieldValues
    idempotency_key: str | None = None
    allow_duplicates: bool = False


def plan_upsert(caller: Caller, org: Org, tool: str, upsert: Upsert, preparation: Preparation) -> Plan[Upserted]:
    """Create the record with this external id, or change it; InvalidArgument names what is wrong."""
    sobject, key = upsert.sobject, _key(upsert)
    if upsert.allow_duplicates:
        field_values.check_duplicates_possible(org.api_version)
    values = _without_key(field_values.check_field_values(upsert.data, sobject, "upsert"), key)
    arguments: dict[str, Any] = {"tool": tool, "object": sobject, "key": key, "data": values}
    arguments |= {"allow_duplicates": True} if upsert.allow_duplicates else {}
    idempotency_key = None
    if upsert.idempotency_key is not None:
        idempotency_key = idempotency.read_key(
            upsert.idempotency_key, principal=caller.principal.name, row_id=org.row_id, arguments=arguments
        )

    names_written, paths = tuple(values), field_paths(values)
    confirm = questions.of_new_record("upsert", sobject, arguments, lambda: (questions.key_name(*key),))

    def make(body: FieldValues, fields: FieldValues) -> Plan[Upserted]:
        async def send(session: OrgSession) -> Upserted:
            request = rest.upsert(org.api_version, sobject, key, body, allow_duplicates=upsert.allow_duplicates)
            record_id, created = await session.call(request, rest.read_upserted)
            return Upserted(record_id, f"{session.org.instance_url}/{record_id}", fields=names_written, created=created)

        return Plan(
            "write",
            send,
            lambda record: Completion(Outcome.SUCCEEDED, record_ids=(record.id,)),
            fields=(*paths, key[0]),
            writes=True,
            repeatable=True,
            idempotency_key=idempotency_key,
            remember=idempotency.remember,
            recall=lambda answer: _recall(answer, names_written),
            after_unknown=lambda _session: recovery_hints.upsert_hint(
                sobject, key, paths, anew=idempotency_key is not None
            ),
            snapshot=SnapshotSpec(sobject, fields=tuple(fields), after=fields, key=key),
            preflight=field_values.check_by_describe(sobject, values, "upsert"),
            confirm=confirm,
            uses=write_uses(sobject, ("create", "update"), ({key[0]: key[1]} | values,), (key[0],)),
        )

    draft = Draft(sobject, "upsert", ({key[0]: key[1]} | values,), key=key[0])
    return draft.plan(make, partial(preparation.prepare, caller))


def _recall(answer: bytes, fields: tuple[str, ...]) -> Upserted | CallError:
    result = idempotency.recall(answer, fields)
    if isinstance(result, Upserted | CallError):
        return result
    return Upserted(result.id, result.url, result.warnings, fields)


def _key(upsert: Upsert) -> tuple[str, str]:
    if not names.is_field(upsert.field):
        raise InvalidArgument("external_id_field is no field's name", fields=["external_id_field"])
    if upsert.field.lower() == "id":
        raise InvalidArgument(
            "external_id_field is Id, which Salesforce gives",
            fields=["external_id_field"],
            hint="salesforce_update_record changes a record whose id you know",
        )
    if not 1 <= len(upsert.external_id) <= MAX_EXTERNAL_ID:
        raise InvalidArgument(f"external_id has 1 to {MAX_EXTERNAL_ID} characters", fields=["external_id"])
    if is_blank(upsert.external_id):
        raise InvalidArgument("external_id is blank; every record without one would be meant", fields=["external_id"])
    if upsert.external_id in _NO_SEGMENT or not names.encodable(upsert.external_id):
        raise InvalidArgument("external_id cannot be written in a URL", fields=["external_id"])
    return upsert.field, upsert.external_id


def _without_key(data: FieldValues, key: tuple[str, str]) -> FieldValues:
    """Salesforce refuses a body that repeats the external id, which stands in the URL."""
    field, external_id = key
    for name, value in data.items():
        if name.lower() == field.lower() and str(value) != external_id:
            raise InvalidArgument(
                f"data.{name} is not external_id", fields=[f"data.{name}"], hint="leave it out of data"
            )
    return {name: value for name, value in data.items() if name.lower() != field.lower()}

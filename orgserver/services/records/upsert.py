"""The create that may be repeated: a record named by an external id is made, or changed if it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orgserver.model import names
from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import FieldValues, Upserted
from orgserver.model.text import is_blank
from orgserver.salesforce.protocol import rest
from orgserver.services.calls import idempotency
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.records import field_values, parents, recovery_hints, value_checks
from orgserver.services.records.preparation import Draft, Preparation
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


def plan(caller: Caller, org: Org, tool: str, wanted: Upsert, preparation: Preparation | None = None) -> Plan[Upserted]:
    """Create the record with this external id, or change it; InvalidArgument names what is wrong.

    Without ``preparation`` what only the org can tell of the values is left to Salesforce.
    """
    sobject, key = wanted.sobject, _key(wanted)
    field_values.check_duplicates_allowed(org.api_version, wanted.allow_duplicates)
    checked = _without_key(field_values.to_write(wanted.data, sobject, "upsert"), key)
    arguments: dict[str, Any] = {"tool": tool, "object": sobject, "key": key, "data": checked}
    arguments |= {"allow_duplicates": True} if wanted.allow_duplicates else {}
    repeated = idempotency.wanted(
        wanted.idempotency_key, principal=caller.principal.name, row_id=org.row_id, arguments=arguments
    )

    named, paths = tuple(checked), parents.paths(checked)

    def make(sent: FieldValues, own: FieldValues) -> Plan[Upserted]:
        async def send(session: OrgSession) -> Upserted:
            request = rest.upsert(org.api_version, sobject, key, sent, allow_duplicates=wanted.allow_duplicates)
            record_id, created = await session.call(request, rest.read_upserted)
            return Upserted(record_id, f"{session.org.instance_url}/{record_id}", fields=named, created=created)

        return Plan(
            "write",
            send,
            lambda done: Completion(Outcome.SUCCEEDED, record_ids=(done.id,)),
            fields=field_values.named((*paths, key[0])),
            writes=True,
            repeatable=True,
            repetition=repeated,
            remember=idempotency.remember,
            recall=lambda answer: _recall(answer, named),
            after_unknown=lambda _session: recovery_hints.upserted(sobject, key, paths, anew=repeated is not None),
            snapshot=SnapshotSpec(sobject, fields=tuple(own), after=own, key=key),
            preflight=value_checks.check_values(sobject, checked, "upsert"),
        )

    if preparation is None:
        return make(checked, checked)
    draft = Draft(sobject, "upsert", ({key[0]: key[1]} | checked,), key=key[0])
    return preparation.plan(caller, draft, make)


def _recall(answer: bytes, fields: tuple[str, ...]) -> Upserted | CallError:
    told = idempotency.recall(answer, fields)
    if isinstance(told, Upserted | CallError):
        return told
    return Upserted(told.id, told.url, told.warnings, fields)


def _key(wanted: Upsert) -> tuple[str, str]:
    if not names.is_field(wanted.field):
        raise InvalidArgument("external_id_field is no field's name", fields=["external_id_field"])
    if wanted.field.lower() == "id":
        raise InvalidArgument(
            "external_id_field is Id, which Salesforce gives",
            fields=["external_id_field"],
            hint="salesforce_update_record changes a record whose id you know",
        )
    if not 1 <= len(wanted.external_id) <= MAX_EXTERNAL_ID:
        raise InvalidArgument(f"external_id has 1 to {MAX_EXTERNAL_ID} characters", fields=["external_id"])
    if is_blank(wanted.external_id):
        raise InvalidArgument("external_id is blank; every record without one would be meant", fields=["external_id"])
    if wanted.external_id in _NO_SEGMENT or not names.encodable(wanted.external_id):
        raise InvalidArgument("external_id cannot be written in a URL", fields=["external_id"])
    return wanted.field, wanted.external_id


def _without_key(data: FieldValues, key: tuple[str, str]) -> FieldValues:
    """Salesforce refuses a body that repeats the external id, which stands in the URL."""
    field, external_id = key
    for name, value in data.items():
        if name.lower() == field.lower() and str(value) != external_id:
            raise InvalidArgument(
                f"data.{name} is not external_id", fields=[f"data.{name}"], hint="leave it out of data"
            )
    return {name: value for name, value in data.items() if name.lower() != field.lower()}

"""Plans for writing one record: made, changed, or shown as it would be changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import InvalidArgument, Rejected
from orgserver.model.names import EVENT, SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.results import Changed, Created, FieldValues
from orgserver.salesforce.protocol import rest
from orgserver.services.calls import idempotency
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.records import appointments, field_values, operations, parents, recovery_hints, value_checks
from orgserver.services.records.preparation import Draft, Preparation
from orgserver.services.results import preview as previewing
from orgserver.store.audit.snapshots import SnapshotSpec


class Writing:
    """Makes plans. Every method raises InvalidArgument naming the argument that is wrong."""

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation

    def create(
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
        """Create one record."""
        field_values.check_duplicates_allowed(org.api_version, allow_duplicates)
        checked = field_values.to_write(data, sobject, "create")
        named = tuple(checked)
        arguments: dict[str, Any] = {"tool": tool, "object": sobject, "data": checked}
        arguments |= {"allow_duplicates": True} if allow_duplicates else {}
        repeated = idempotency.wanted(key, principal=caller.principal.name, row_id=org.row_id, arguments=arguments)

        def make(sent: FieldValues, own: FieldValues) -> Plan[Created]:
            async def send(session: OrgSession) -> Created:
                warnings = await appointments.overlaps(session, sent) if sobject == EVENT else ()
                request = rest.create(org.api_version, sobject, sent, allow_duplicates=allow_duplicates)
                record_id = await session.call(request, rest.read_created)
                return Created(record_id, f"{session.org.instance_url}/{record_id}", warnings, named)

            return Plan(
                "write",
                send,
                lambda created: Completion(Outcome.SUCCEEDED, record_ids=(created.id,)),
                fields=field_values.named(parents.paths(checked)),
                writes=True,
                repetition=repeated,
                remember=idempotency.remember,
                recall=lambda answer: idempotency.recall(answer, named),
                after_unknown=lambda session: recovery_hints.created(session, sobject, sent),
                snapshot=SnapshotSpec(sobject, after=own),
                preflight=value_checks.check_values(sobject, checked, "create"),
            )

        return self._preparation.plan(caller, Draft(sobject, "create", (checked,)), make)

    def update(
        self,
        caller: Caller,
        org: Org,
        tool: str,
        sobject: SObjectName,
        given_id: str,
        data: FieldValues,
        if_unmodified_since: str | None,
        *,
        preview: bool,
        allow_duplicates: bool = False,
    ) -> Plan[Changed]:
        """Change one record, or show what would change."""
        field_values.check_duplicates_allowed(org.api_version, allow_duplicates)
        record_id = field_values.record_id(operations.id_argument(tool), given_id, sobject)
        checked = field_values.to_write(data, sobject, "update")
        since = _modified(if_unmodified_since)
        named = tuple(checked)

        def make(sent: FieldValues, own: FieldValues) -> Plan[Changed]:
            async def send(session: OrgSession) -> Changed:
                version = session.org.api_version
                request = rest.update(version, sobject, record_id, sent, since, allow_duplicates=allow_duplicates)
                try:
                    await session.call(request, rest.read_changed)
                except Rejected as error:
                    if since is not None:
                        await recovery_hints.name_who_changed(session, sobject, record_id, error)
                    raise
                return Changed(record_id, named)

            async def show(session: OrgSession) -> Changed:
                changes, warnings = await operations.read_one(
                    session, sobject, record_id, ("Id", *own), lambda now: previewing.update(now, own)
                )
                warnings = (*warnings, *operations.costs(session))
                return Changed(record_id, named, preview=True, changes=changes, warnings=warnings)

            plan = operations.changing(
                record_id,
                field_values.named(parents.paths(checked)),
                show if preview else send,
                "write",
                SnapshotSpec(sobject, record_id, tuple(own), own),
                recovery_hints.updated(sobject, record_id, parents.paths(checked)),
                preview=preview,
            )
            return replace(plan, preflight=value_checks.check_values(sobject, checked, "update"))

        draft = Draft(sobject, "update", ({"Id": record_id} | checked,))
        return self._preparation.plan(caller, draft, make)


def _modified(text: str | None) -> datetime | None:
    if text is None:
        return None
    if not field_values.is_datetime(text):
        raise InvalidArgument(
            "if_unmodified_since is no time with its offset; give the LastModifiedDate that you read",
            fields=["if_unmodified_since"],
        )
    return datetime.fromisoformat(text)

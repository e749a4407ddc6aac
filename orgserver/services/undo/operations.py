"""What an undo sends: it reads the record once more just before it writes, so that a later change is left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orgserver.model.access.acts import PathUse
from orgserver.model.access.policies import ObjectAction
from orgserver.model.access.principals import Permission
from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import InvalidArgument, NotSent, Rejected
from orgserver.model.names import EVENT, RecordId, SObjectName
from orgserver.model.orgs import Org
from orgserver.model.results import Changed, Created, FieldValues
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Request
from orgserver.services.calls import idempotency
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.calls.snapshot import read_first
from orgserver.services.undo.values import find_differing_fields

FieldInfos = Mapping[str, Mapping[str, Any]]
"""What describe says of an object's fields, by their names in lower case."""
_COMPUTED = frozenset({"activitydatetime", "activitydate", "durationinminutes"})
"""Of an event: they follow from its start and end."""


@dataclass(frozen=True, slots=True)
class Restore:
    """What is to be put back, and where."""

    entry_id: str
    alias: str
    row_id: str
    sobject: SObjectName
    record_id: RecordId
    target: RecordId
    """The record's id now: another one, once it was made again."""
    values: FieldValues = field(default_factory=dict)
    expected: FieldValues = field(default_factory=dict)
    """What must be there, or somebody changed it since."""
    attempt: int = 0
    force: bool = False


def describe_fields(restore: Restore) -> Callable[[Org], Plan[FieldInfos]]:
    """Ask what fields there are, and which may be written."""

    async def send(session: OrgSession) -> FieldInfos:
        request = rest.describe(session.org.api_version, restore.sobject)
        reply = await session.call(request, rest.read_describe)
        return {str(each["name"]).lower(): each for each in reply["fields"]}

    return lambda org: Plan(
        _check_org(org, restore, "read"),
        send,
        lambda _infos: Completion(Outcome.SUCCEEDED),
        uses=_uses(restore, "read"),
    )


def read_record(restore: Restore, fields: Sequence[str]) -> Callable[[Org], Plan[FieldValues | None]]:
    """Read some fields of the record; None if it is not there."""

    async def send(session: OrgSession) -> FieldValues | None:
        try:
            return await session.call(_read(session, restore, fields), rest.read_record, is_kept=True)
        except Rejected as error:
            if error.category == "not_found":
                return None
            raise

    return lambda org: Plan(
        _check_org(org, restore, "read"),
        send,
        lambda record: Completion(Outcome.SUCCEEDED, row_count=int(record is not None)),
        record_ids=(restore.target,),
        fields=fields,
        uses=_uses(restore, "read"),
    )


def update_record(org: Org, restore: Restore) -> Plan[Changed]:
    """Write old values back."""

    async def send(session: OrgSession) -> Changed:
        record = await _read_unchanged(session, restore, ("LastModifiedDate", *restore.expected))
        modified = record.get("LastModifiedDate")
        since = datetime.fromisoformat(modified) if isinstance(modified, str) and not restore.force else None
        request = rest.update(session.org.api_version, restore.sobject, restore.target, restore.values, since)
        await session.call(request, rest.read_changed)
        return Changed(restore.target, tuple(restore.values))

    return _plan_change(org, restore, "write", "update", send, tuple(restore.values))


def delete_record(org: Org, restore: Restore) -> Plan[Changed]:
    """Delete what was created."""

    async def send(session: OrgSession) -> Changed:
        await _read_unchanged(session, restore, tuple(restore.expected))
        request = rest.delete(session.org.api_version, restore.sobject, restore.target)
        await session.call(request, rest.read_changed)
        return Changed(restore.target)

    return _plan_change(org, restore, "delete", "delete", send, ())


def create_record(org: Org, restore: Restore) -> Plan[Created]:
    """Create what was deleted, once: two who undo at the same time make one record."""

    async def send(session: OrgSession) -> Created:
        try:
            await read_first(session, _read(session, restore, ()), rest.read_record)
        except Rejected as error:
            if error.category != "not_found":
                raise
        else:
            raise _changed_since("the record is there again")
        request = rest.create(session.org.api_version, restore.sobject, restore.values)
        record_id = await session.call(request, rest.read_created)
        return Created(record_id, f"{session.org.instance_url}/{record_id}")

    key = f"undo {restore.entry_id} {restore.attempt}"
    return Plan(
        _check_org(org, restore, "write"),
        send,
        lambda created: Completion(Outcome.SUCCEEDED, record_ids=(created.id,)),
        record_ids=(restore.record_id,),
        fields=restore.values,
        writes=True,
        idempotency_key=idempotency.digest_call(
            key, principal="orgserver", row_id=org.row_id, arguments={"undo": restore.entry_id}
        ),
        remember=idempotency.remember,
        recall=idempotency.recall,
        after_unknown=lambda _session: "look whether the record was created before undoing this again",
        uses=_uses(restore, "create"),
    )


def pick_createable(sobject: SObjectName, before: FieldValues, field_infos: FieldInfos) -> FieldValues:
    """What of a record can be given to a new one."""
    values = {
        name: value
        for name, value in before.items()
        if value is not None and field_infos.get(name.lower(), {}).get("createable")
    }
    if sobject == EVENT and {"StartDateTime", "EndDateTime"} <= values.keys():
        values = {name: value for name, value in values.items() if name.lower() not in _COMPUTED}
    return values


def _uses(restore: Restore, action: ObjectAction) -> tuple[PathUse, ...]:
    """An undo touches its object; hidden fields it puts back, too, for whoever undoes is at a terminal."""
    return (PathUse(restore.sobject, action),)


def _plan_change(
    org: Org, restore: Restore, permission: Permission, action: ObjectAction, send: Any, fields: Sequence[str]
) -> Plan[Changed]:
    return Plan(
        _check_org(org, restore, permission),
        send,
        lambda _changed: Completion(Outcome.SUCCEEDED),
        record_ids=tuple(dict.fromkeys((restore.target, restore.record_id))),
        fields=fields,
        writes=True,
        after_unknown=lambda _session: "read the record to see whether the change happened",
        uses=_uses(restore, action),
    )


async def _read_unchanged(session: OrgSession, restore: Restore, fields: Sequence[str]) -> FieldValues:
    """The record as it is just before it is changed; NotSent if it is not as expected."""
    record = await read_first(session, _read(session, restore, fields), rest.read_record, is_kept=True)
    changed = [] if restore.force else find_differing_fields(record, restore.expected)
    if changed:
        raise _changed_since(f"changed since: {', '.join(changed)}")
    return record


def _read(session: OrgSession, restore: Restore, fields: Sequence[str]) -> Request:
    names = tuple({name.lower(): name for name in ("Id", *fields)}.values())
    return rest.read(session.org.api_version, restore.sobject, restore.target, names)


def _changed_since(what: str) -> NotSent:
    return NotSent(what, code="CHANGED_SINCE", category="conflict", retryable=False, hint="look at it again")


def _check_org(org: Org, restore: Restore, permission: Permission) -> Permission:
    if org.row_id != restore.row_id:
        raise InvalidArgument("this alias means another org now", fields=["org"])
    return permission

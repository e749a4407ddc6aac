"""How the values that a change replaces are kept before it is sent, and the acts that put them back.

Those acts look once more just before they write, so that a change made meanwhile is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from orgserver.model import names
from orgserver.model.audit import Completion, Intent, Outcome
from orgserver.model.errors import InvalidArgument, KeyProblem, NotSent, Rejected, StoreAway, StoreError, Unanswered
from orgserver.model.names import EVENT, RecordId, SObjectName
from orgserver.model.orgs import Org, Permission
from orgserver.model.results import Changed, Created, FieldValues
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.services.calls import idempotency
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.records import field_values
from orgserver.services.results import truncation
from orgserver.store.audit import snapshots
from orgserver.store.audit.snapshots import Keeps, Kept
from orgserver.store.session import Store

T = TypeVar("T")
Described = Mapping[str, Mapping[str, Any]]
"""An object's fields by their names in lower case."""
_COMPUTED = frozenset({"activitydatetime", "activitydate", "durationinminutes"})
"""Of an event: they follow from its start and end."""
_MISSING = object()
MAX_KEPT = 8 * 1024 * 1024
"""Bytes of a record, far above what any has: its longest texts have 131,072 characters."""


async def keep(store: Store, intent: Intent, keeps: Keeps, session: OrgSession) -> None:
    """Read what will be replaced, and keep it; whatever prevents that, the change is not sent."""
    record_id, before = await _before(keeps, session)
    row_id = session.org.row_id
    found = Kept(row_id, keeps.sobject, record_id, before, keeps.after)
    try:
        async with store.database.reading() as reading:
            await store.orgs.data_key(reading, row_id)  # if the ring must be read again, then not in the writer
        write = partial(snapshots.keep_in, orgs=store.orgs, log=store.audit, entry_id=intent.id, kept=found)
        await store.database.write(write)
    except (StoreError, KeyProblem) as error:
        raise StoreAway(
            "the values that this change replaces cannot be kept, so nothing was sent", hint=str(error)
        ) from error


async def _before(keeps: Keeps, session: OrgSession) -> tuple[str, FieldValues | None]:
    """The id and values of the record that will be changed; an empty id and None if it will be made."""
    version = session.org.api_version
    if keeps.record_id is not None:
        request = rest.read(version, keeps.sobject, keeps.record_id, keeps.fields)
    elif keeps.key is not None:
        request = rest.read_by_key(version, keeps.sobject, keeps.key, ("Id", *(keeps.fields or ())))
    else:
        return "", None
    try:
        record = await read_first(session, request, _keepable)
    except Rejected as error:
        if keeps.key is not None and error.category == "not_found":
            return "", None
        raise
    before = record if keeps.fields is None else picked(record, keeps.fields)
    return keeps.record_id or str(record.get("Id", "")), before


def _keepable(reply: Reply) -> FieldValues:
    record = rest.read_record(reply)
    if truncation.within(record, MAX_KEPT) is None:
        raise NotSent(
            f"the values that this change replaces are larger than the {MAX_KEPT >> 20} MiB that are kept of a record",
            code="VALUES_TOO_LARGE",
            retryable=False,
        )
    return record


async def read_first(session: OrgSession, request: Request, read: Callable[[Reply], T]) -> T:
    """Read before a change is sent: while no answer came to that, nothing can have changed."""
    try:
        return await session.call(request, read)
    except Unanswered as error:
        raise NotSent(f"{error}, so nothing was changed", code=error.code) from error
    finally:
        session.trace.sent = False


def picked(record: Mapping[str, Any], fields: Sequence[str]) -> FieldValues:
    """Some fields of a record under the names they were asked by; Salesforce answers with its own spelling."""
    spelled = {name.lower(): value for name, value in record.items()}
    return {name: spelled[name.lower()] for name in fields if name.lower() in spelled}


def same(one: object, other: object) -> bool:
    """Whether Salesforce would keep both as the same value."""
    return one == other or _plain(one) == _plain(other)


def differing(record: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """The fields of a record that are not as expected."""
    now = picked(record, tuple(expected))
    return [name for name, value in expected.items() if not same(now.get(name, _MISSING), value)]


def _plain(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip().replace("\r\n", "\n")
    if field_values.is_datetime(text):
        return datetime.fromisoformat(text).replace(microsecond=0)
    try:
        return names.record_id(text)
    except ValueError:
        return (text.lower() if "@" in text else text) or None


# -- putting back


@dataclass(frozen=True, slots=True)
class Back:
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


def describe(back: Back) -> Callable[[Org], Plan[Described]]:
    """Ask what fields there are, and which may be written."""

    async def send(session: OrgSession) -> Described:
        request = rest.describe(session.org.api_version, back.sobject)
        told = await session.call(request, rest.read_describe)
        return {str(each["name"]).lower(): each for each in told["fields"]}

    return lambda org: Plan(_same_org(org, back, "read"), send, lambda _described: Completion(Outcome.SUCCEEDED))


def look(back: Back, fields: Sequence[str]) -> Callable[[Org], Plan[FieldValues | None]]:
    """Read some fields of the record; None if it is not there."""

    async def send(session: OrgSession) -> FieldValues | None:
        try:
            return await session.call(_read(session, back, fields), rest.read_record)
        except Rejected as error:
            if error.category == "not_found":
                return None
            raise

    return lambda org: Plan(
        _same_org(org, back, "read"),
        send,
        lambda record: Completion(Outcome.SUCCEEDED, row_count=int(record is not None)),
        record_ids=(back.target,),
        fields=field_values.named(fields),
    )


def write_back(org: Org, back: Back) -> Plan[Changed]:
    """Write old values back."""

    async def send(session: OrgSession) -> Changed:
        now = await _unchanged(session, back, ("LastModifiedDate", *back.expected))
        modified = now.get("LastModifiedDate")
        since = datetime.fromisoformat(modified) if isinstance(modified, str) and not back.force else None
        request = rest.update(session.org.api_version, back.sobject, back.target, back.values, since)
        await session.call(request, rest.read_changed)
        return Changed(back.target, tuple(back.values))

    return _changing(org, back, "write", send, tuple(back.values))


def take_away(org: Org, back: Back) -> Plan[Changed]:
    """Delete what was created."""

    async def send(session: OrgSession) -> Changed:
        await _unchanged(session, back, tuple(back.expected))
        request = rest.delete(session.org.api_version, back.sobject, back.target)
        await session.call(request, rest.read_changed)
        return Changed(back.target)

    return _changing(org, back, "delete", send, ())


def make_again(org: Org, back: Back) -> Plan[Created]:
    """Create what was deleted, once: two who undo at the same time make one record."""

    async def send(session: OrgSession) -> Created:
        try:
            await read_first(session, _read(session, back, ()), rest.read_record)
        except Rejected as error:
            if error.category != "not_found":
                raise
        else:
            raise _meanwhile("the record is there again")
        request = rest.create(session.org.api_version, back.sobject, back.values)
        made = await session.call(request, rest.read_created)
        return Created(made, f"{session.org.instance_url}/{made}")

    key = f"undo {back.entry_id} {back.attempt}"
    return Plan(
        _same_org(org, back, "write"),
        send,
        lambda created: Completion(Outcome.SUCCEEDED, record_ids=(created.id,)),
        record_ids=(back.record_id,),
        fields=field_values.named(back.values),
        writes=True,
        repetition=idempotency.of(key, principal="orgserver", row_id=org.row_id, arguments={"undo": back.entry_id}),
        remember=idempotency.remember,
        recall=idempotency.recall,
        after_unknown=lambda _session: "look whether the record was created before undoing this again",
    )


def createable(sobject: SObjectName, before: FieldValues, described: Described) -> FieldValues:
    """What of a record can be given to a new one."""
    kept = {
        name: value
        for name, value in before.items()
        if value is not None and described.get(name.lower(), {}).get("createable")
    }
    if sobject == EVENT and {"StartDateTime", "EndDateTime"} <= kept.keys():
        kept = {name: value for name, value in kept.items() if name.lower() not in _COMPUTED}
    return kept


def _changing(org: Org, back: Back, permission: Permission, send: Any, fields: Sequence[str]) -> Plan[Changed]:
    return Plan(
        _same_org(org, back, permission),
        send,
        lambda _changed: Completion(Outcome.SUCCEEDED),
        record_ids=tuple(dict.fromkeys((back.target, back.record_id))),
        fields=field_values.named(fields),
        writes=True,
        after_unknown=lambda _session: "read the record to see whether the change happened",
    )


async def _unchanged(session: OrgSession, back: Back, fields: Sequence[str]) -> FieldValues:
    """The record as it is just before it is changed; NotSent if it is not as expected."""
    now = await read_first(session, _read(session, back, fields), rest.read_record)
    changed = [] if back.force else differing(now, back.expected)
    if changed:
        raise _meanwhile(f"changed since: {', '.join(changed)}")
    return now


def _read(session: OrgSession, back: Back, fields: Sequence[str]) -> Request:
    names = tuple({name.lower(): name for name in ("Id", *fields)}.values())
    return rest.read(session.org.api_version, back.sobject, back.target, names)


def _meanwhile(what: str) -> NotSent:
    return NotSent(what, code="CHANGED_SINCE", category="conflict", retryable=False, hint="look at it again")


def _same_org(org: Org, back: Back, permission: Permission) -> Permission:
    if org.row_id != back.row_id:
        raise InvalidArgument("this alias means another org now", fields=["org"])
    return permission

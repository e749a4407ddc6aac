"""What a person must allow, and the question that tells it: ours but for names, which are quoted and short."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orgserver.model.access.policies import Policy
from orgserver.model.errors import Rejected
from orgserver.model.names import EVENT, RecordId, SObjectName
from orgserver.model.orgs import Org
from orgserver.model.text import replace_unsafe
from orgserver.salesforce import soql as soql_text
from orgserver.salesforce.protocol import rest as protocol
from orgserver.services.calls.access import OrgSession

SHOWN = 5
"""This many records are named."""
_LONGEST = 60
_NAME_FIELDS = {EVENT: "Subject", "Task": "Subject", "Case": "CaseNumber", "Contract": "ContractNumber"}
_VERBS = {"delete": "Delete", "update": "Change", "create": "Create", "upsert": "Create or change"}


@dataclass(frozen=True, slots=True)
class AffectedRecords:
    """What a look at the org found: how many records, and some of their names."""

    count: int
    names: tuple[str, ...] = ()
    """Quoted."""
    ids: tuple[str, ...] = ()
    """Of some records, where their names are still to be read."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a plan would do, as a person must hear it."""

    verb: str
    """``delete``, ``update``, ``create`` or ``upsert``."""
    object: str
    arguments: Mapping[str, Any]
    """Everything that decides what is sent: another value is another call."""
    count: int | None = None
    """How many records; None where only a look tells."""
    look: Callable[[OrgSession], Awaitable[AffectedRecords]] | None = None
    """Reads before anything is changed; needed where ``count`` is None."""


def of_new_record(
    verb: str, sobject: SObjectName, arguments: Mapping[str, Any], name: Callable[[], tuple[str, ...]]
) -> Confirmation:
    """The creation of one record, or its upsert by a key that it is called by."""

    async def name_record(_session: OrgSession) -> AffectedRecords:
        return AffectedRecords(1, name())

    return Confirmation(verb, sobject, arguments, 1, name_record)


def of_record(
    verb: str, sobject: SObjectName, record_id: RecordId, arguments: Mapping[str, Any] | None = None
) -> Confirmation:
    """The change or deletion of one record, which is shown with its name."""

    async def look(session: OrgSession) -> AffectedRecords:
        field = _NAME_FIELDS.get(sobject, "Name")
        request = protocol.read(session.org.api_version, sobject, record_id, ("Id", field))
        try:
            record = await session.call(request, protocol.read_record)
        except Rejected as error:
            if error.category == "not_found":
                raise
            return AffectedRecords(1, (record_id,))  # an object without a name, or one that its user may not see
        return AffectedRecords(1, (_quoted(record.get(field), record_id),))

    return Confirmation(verb, sobject, {"object": sobject, "id": record_id, **(arguments or {})}, 1, look)


async def read_names(session: OrgSession, sobject: str, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Of the records with these ids; the id of what has no name."""
    field = _NAME_FIELDS.get(sobject, "Name")
    some = ", ".join(soql_text.literal(each) for each in ids)
    soql = f"SELECT Id, {field} FROM {sobject} WHERE Id IN ({some})"  # noqa: S608  # names and ids were checked
    try:
        page = await session.call(protocol.query(session.org.api_version, soql, len(ids)), protocol.read_page)
    except Rejected:
        return ids  # an object without a name, or one that its user may not see
    names = {record.get("Id"): record.get(field) for record in page.records}
    return tuple(_quoted(names.get(each), each) for each in ids)


def given_names(records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names that the first of some new records are given; none unless each has one."""
    names = []
    for record in records[:SHOWN]:
        values = {name.lower(): value for name, value in record.items() if isinstance(value, str)}
        parts = [values.get(name, "") for name in ("firstname", "lastname")]
        name = values.get("name") or values.get("subject") or " ".join(filter(None, parts))
        names.append(_clean(name) if name.strip() else "")
    return tuple(names) if all(names) else ()


def key_name(field: str, key: str) -> str:
    """What a record is called by which its external id finds."""
    return f"{field} {_clean(key)}"


def summary(org: Org, policy: Policy, confirm: Confirmation, count: int) -> str:
    """What would be done, and the number that a policy sets for it, without anything that an org's records say."""
    noun = f"{count:,} {confirm.object} record{'s' if count != 1 else ''}"
    kind = f" ({org.kind})" if org.kind else ""
    most = policy.confirm_above
    reason = f", where each change of more than {most:,} is asked about" if most is not None and count > most else ""
    return f"{_VERBS[confirm.verb]} {noun} in the Salesforce org {org.alias}{kind}{reason}"


def question(org: Org, policy: Policy, confirm: Confirmation, affected: AffectedRecords) -> str:
    """The question: ours but for the names, which are quoted and short."""
    shown = ", ".join(affected.names[:SHOWN])
    rest = f" and {affected.count - SHOWN:,} more" if shown and affected.count > SHOWN else ""
    named = f": {shown}{rest}" if shown else ""
    return f"{summary(org, policy, confirm, affected.count)}{named}?"


def _quoted(name: object, record_id: str) -> str:
    """A name from a record as people may safely read it, with its id."""
    if not isinstance(name, str) or not name.strip():
        return record_id
    return f"{_clean(name)} ({record_id})"


def _clean(name: str) -> str:
    clean = replace_unsafe(name[: _LONGEST + 1]).replace('"', "\N{REPLACEMENT CHARACTER}")
    return f'"{clean[:_LONGEST]}{"…" if len(clean) > _LONGEST else ""}"'

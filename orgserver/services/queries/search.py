"""Find records of several objects by a text, as a person would in Salesforce's search box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orgserver.model import names
from orgserver.model.audit import Completion, Outcome
from orgserver.model.errors import InvalidArgument, Rejected
from orgserver.model.results import FieldValues, Found
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.soql import sosl
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.records import field_values
from orgserver.services.results import result_size, truncation

MAX_OBJECTS = 20
_ID = 18
_FIELDS: dict[str, tuple[str, ...]] = {
    "Account": ("Id", "Name", "Phone"),
    "Contact": ("Id", "Name", "Email", "Phone", "Title"),
    "Lead": ("Id", "Name", "Company", "Email", "Phone"),
    "Opportunity": ("Id", "Name", "StageName", "CloseDate"),
    "Case": ("Id", "CaseNumber", "Subject", "Status"),
    "Event": ("Id", "Subject", "StartDateTime"),
    "Task": ("Id", "Subject", "Status"),
}
"""What is told of a record; of other objects, their ``Name``."""
_NAMED = ("Id", "Name")
_USUAL = ("Account", "Contact", "Lead", "Opportunity", "Case")
_EVERYWHERE = ("Account", "Contact")
"""Objects that every org has."""


@dataclass(frozen=True, slots=True)
class Search:
    """The arguments of a search."""

    text: str
    objects: Sequence[str] | None = None
    limit: int = 20


def plan(wanted: Search) -> Plan[Found]:
    """Search; InvalidArgument names what is wrong."""
    objects = _objects(wanted.objects)
    text = " ".join(wanted.text.split())
    if not sosl.MIN_TEXT <= len(text) <= sosl.MAX_TEXT or not sosl.term(text):
        raise InvalidArgument(f"text has {sosl.MIN_TEXT} to {sosl.MAX_TEXT:,} characters", fields=["text"])
    returning: dict[str, tuple[str, ...]] = {name: _FIELDS.get(name, _NAMED) for name in objects}

    async def send(session: OrgSession) -> Found:
        asked = min(wanted.limit + 1, sosl.MAX_FOUND)
        return await _ask(session, text, returning, asked, wanted)

    return Plan(
        "read",
        send,
        lambda found: Completion(
            Outcome.SUCCEEDED,
            row_count=len(found.records),
            record_ids=tuple(str(each["Id"])[:_ID] for each in found.records if each.get("Id")),
        ),
        fields=field_values.named({field for fields in returning.values() for field in fields}),
        soql=f"FIND {{?}} RETURNING {', '.join(objects)}",
        object=objects[0] if len(objects) == 1 else None,
    )


def _objects(given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None and not 1 <= len(given) <= MAX_OBJECTS:
        raise InvalidArgument(f"objects names 1 to {MAX_OBJECTS} objects", fields=["objects"])
    known = {name.lower(): name for name in _FIELDS}
    try:
        found = [names.sobject(known.get(name.lower(), name)) for name in given or _USUAL]
    except ValueError:
        raise InvalidArgument("objects holds something that is no object's name", fields=["objects"]) from None
    return tuple({name.lower(): name for name in found}.values())


async def _ask(
    session: OrgSession, text: str, returning: dict[str, tuple[str, ...]], asked: int, wanted: Search
) -> Found:
    """Ask for what is usual; where the org or its user has less, once again for what there must be."""
    chosen = wanted.objects is not None
    try:
        return await _send(session, text, returning, asked, wanted.limit)
    except Rejected as error:
        if error.code not in ("INVALID_TYPE", "INVALID_FIELD") or (chosen and error.code == "INVALID_TYPE"):
            raise
        objects = [name for name in returning if chosen or error.code == "INVALID_FIELD" or name in _EVERYWHERE]
    found = await _send(session, text, dict.fromkeys(objects, ("Id",)), asked, wanted.limit)
    less = f"only {', '.join(objects)} searched and ids told: this org or its user has not the rest"
    return replace(found, warnings=(less, *found.warnings))


async def _send(session: OrgSession, text: str, returning: dict[str, tuple[str, ...]], asked: int, limit: int) -> Found:
    request = rest.search(session.org.api_version, sosl.find(text, returning, asked))
    return await session.call(request, lambda reply: _cut(rest.read_search_results(reply), limit))


def _cut(found: list[FieldValues], limit: int) -> Found:
    room = result_size.MAX_BYTES - result_size.FRAME_BYTES
    records: list[FieldValues] = []
    warnings: tuple[str, ...] = ()
    for record in map(result_size.without_nulls, found[:limit]):
        size = truncation.within(record, room)
        if size is None and records:
            break
        if size is None:
            told = result_size.bounded(record)
            records, warnings, size = [told.values], told.warnings, room
        else:
            records.append(record)
        room -= size
    if len(records) < len(found) or len(found) == sosl.MAX_FOUND:
        warnings = (*warnings, "there is more than is shown: narrow text, name objects, or raise limit")
    return Found(records, warnings)

"""Find records of several objects by a text, as a person would in Salesforce's search box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orgserver.model import names
from orgserver.model.access.acts import PathUse
from orgserver.model.access.policies import Policy
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.errors import InvalidArgument, PolicyDenied, Rejected
from orgserver.model.results import FieldValues, SearchResult
from orgserver.salesforce.protocol import rest
from orgserver.salesforce.soql import sosl
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Operation, Plan
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.field_rules import is_searchable, limits_fields
from orgserver.services.queries import row_quota
from orgserver.services.results import result_size
from orgserver.services.results.record_list import RecordList

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
_OTHER_FIELDS = ("Id", "Name")
_DEFAULT_OBJECTS = ("Account", "Contact", "Lead", "Opportunity", "Case")
_EVERYWHERE = ("Account", "Contact")
"""Objects that every org has."""


@dataclass(frozen=True, slots=True)
class Search:
    """The arguments of a search."""

    text: str
    objects: Sequence[str] | None = None
    limit: int = 20


def find_records(search: Search) -> Operation[SearchResult]:
    """Find records of several objects by a text."""
    return Operation(Action.SEARCH, lambda _call, _org: _plan(search))


def _plan(search: Search) -> Plan[SearchResult]:
    """Search; InvalidArgument names what is wrong."""
    objects = _objects(search.objects)
    text = " ".join(search.text.split())
    if not sosl.MIN_TEXT <= len(text) <= sosl.MAX_TEXT or not sosl.term(text):
        raise InvalidArgument(f"text has {sosl.MIN_TEXT} to {sosl.MAX_TEXT:,} characters", fields=["text"])
    returning: dict[str, tuple[str, ...]] = {name: _FIELDS.get(name, _OTHER_FIELDS) for name in objects}

    async def send(session: OrgSession) -> SearchResult:
        return await _ask(session, text, returning, search)

    return Plan(
        "read",
        send,
        lambda page: Completion(
            Outcome.SUCCEEDED,
            row_count=len(page.records),
            record_ids=tuple(str(each["Id"])[:_ID] for each in page.records if each.get("Id")),
        ),
        fields={field for fields in returning.values() for field in fields},
        soql=f"FIND {{?}} RETURNING {', '.join(objects)}",
        object=objects[0] if len(objects) == 1 else None,
        uses=tuple(PathUse(name, "read", searched=True, optional=search.objects is None) for name in objects),
    )


def _objects(objects: Sequence[str] | None) -> tuple[str, ...]:
    if objects is not None and not 1 <= len(objects) <= MAX_OBJECTS:
        raise InvalidArgument(f"objects names 1 to {MAX_OBJECTS} objects", fields=["objects"])
    spellings = {name.lower(): name for name in _FIELDS}
    try:
        sobjects = [names.sobject(spellings.get(name.lower(), name)) for name in objects or _DEFAULT_OBJECTS]
    except ValueError:
        raise InvalidArgument("objects holds something that is no object's name", fields=["objects"]) from None
    return tuple({name.lower(): name for name in sobjects}.values())


def _limit(policy: Policy, returning: dict[str, tuple[str, ...]], search: Search) -> dict[str, tuple[str, ...]]:
    """What may be searched, and told; PolicyDenied where that is nothing."""
    if not policy.limits_data:
        return returning
    limits = FieldLimits.of(policy)
    searchable = [name for name in returning if search.objects is not None or is_searchable(policy, name)]
    if not searchable:
        raise PolicyDenied(
            "none of the objects that are searched may be searched in this org",
            code="OBJECT_NOT_ALLOWED",
            hint="name others in objects",
        )
    return {name: limits.visible(name, returning[name]) for name in searchable}


async def _ask(session: OrgSession, text: str, returning: dict[str, tuple[str, ...]], search: Search) -> SearchResult:
    """Ask for the default fields; where the org or its user has less, once again for what there must be."""
    returning = _limit(session.policy, returning, search)
    is_chosen = search.objects is not None
    try:
        return await _send(session, text, returning, search.limit)
    except Rejected as error:
        if error.code not in ("INVALID_TYPE", "INVALID_FIELD") or (is_chosen and error.code == "INVALID_TYPE"):
            raise
        objects = [name for name in returning if is_chosen or error.code == "INVALID_FIELD" or name in _EVERYWHERE]
    page = await _send(session, text, dict.fromkeys(objects, ("Id",)), search.limit)
    less = f"only {', '.join(objects)} searched and ids told: this org or its user has not the rest"
    return replace(page, warnings=(less, *page.warnings))


async def _send(session: OrgSession, text: str, returning: dict[str, tuple[str, ...]], limit: int) -> SearchResult:
    row_limit = session.policy.row_limit
    limit = limit if row_limit is None else min(limit, row_limit)
    by_name = any(limits_fields(session.policy, name) for name in returning)
    find = sosl.find(text, returning, min(limit + 1, sosl.MAX_FOUND), scope="NAME" if by_name else "ALL")
    request = rest.search(session.org.api_version, find)
    return await session.call(request, lambda reply: _cut(rest.read_search_results(reply), limit, row_limit))


def _cut(rows: list[FieldValues], limit: int, row_limit: int | None) -> SearchResult:
    page = RecordList()
    for record in map(result_size.without_nulls, rows[:limit]):
        if not page.add(record):
            break
    warnings = page.warnings
    if len(page.records) < len(rows) or len(rows) == sosl.MAX_FOUND:
        more = "there is more than is shown: narrow text, name objects, or raise limit"
        if row_limit is not None and len(page.records) == row_limit:
            more = row_quota.warning(row_limit)
        warnings = (*warnings, more)
    return SearchResult(page.records, warnings)

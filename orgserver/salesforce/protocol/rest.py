"""How to ask Salesforce's REST API and read its answers: pure pairs of request and reader (REST Developer Guide)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from orgserver.model.errors import InvalidArgument, Rejected, Unanswered
from orgserver.model.names import RecordId, SObjectName, api_versions, is_field, org_id
from orgserver.model.names import record_id as read_record_id
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import refusals
from orgserver.salesforce.protocol.messages import (
    Reply,
    Request,
    is_count,
    is_whole,
    read_records,
    strip_attributes,
    unreadable,
)

_NEXT_PAGE = re.compile(r"/services/data/v\d{2,3}\.0/(?:query|queryAll)/[0-9A-Za-z]{4,40}(?:-\d{1,10})?")
_ALLOW_DUPLICATES = (("Sforce-Duplicate-Rule-Header", "allowSave=true"),)
"""Saves what a duplicate rule only warns of (REST guide ``headers_duplicaterules``), and nothing that one blocks."""
DUPLICATES_SINCE = 52
"""The first API version that knows this header."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class QueryPage(msgspec.Struct, frozen=True):
    """One page of a query's result."""

    rows: list[dict[str, Any]]
    """Its records as they came; most of a page may never be shown."""
    total_size: int
    done: bool
    next_path: str | None

    @property
    def records(self) -> list[FieldValues]:
        """All its records, without Salesforce's ``attributes``."""
        return [strip_attributes(row) for row in self.rows]


def duplicate_headers(allow_duplicates: bool) -> tuple[tuple[str, str], ...]:
    """The headers of a change that may save duplicates, or may not."""
    return _ALLOW_DUPLICATES if allow_duplicates else ()


def create(version: str, sobject: SObjectName, values: FieldValues, *, allow_duplicates: bool = False) -> Request:
    """Create a record (REST guide, "sObject Basic Information")."""
    return Request("POST", _object(version, sobject), body=values, headers=duplicate_headers(allow_duplicates))


def read_created(reply: Reply) -> RecordId:
    """The new record's id.

    Raises Rejected where the reply says that it failed, Unanswered where it names no record: it may have been created.
    """
    _raise_if_failed(reply)
    try:
        return read_record_id(reply.body["id"])
    except (TypeError, KeyError, ValueError):
        raise Unanswered("the answer to this create names no record", code="BAD_REPLY") from None


def read(version: str, sobject: SObjectName, record_id: RecordId, fields: Sequence[str] | None = None) -> Request:
    """Read a record (REST guide, "sObject Rows")."""
    query = (("fields", ",".join(fields)),) if fields else ()
    return Request("GET", _row(version, sobject, record_id), query)


def read_record(reply: Reply) -> FieldValues:
    """The record's fields, without Salesforce's ``attributes``."""
    if not isinstance(reply.body, dict):
        raise unreadable()
    cleaned: FieldValues = strip_attributes(reply.body)
    return cleaned


def update(
    version: str,
    sobject: SObjectName,
    record_id: RecordId,
    values: FieldValues,
    if_unmodified_since: datetime | None = None,
    *,
    allow_duplicates: bool = False,
) -> Request:
    """Change a record; with a time, only if nobody changed it since (one-second grain)."""
    guard = (("If-Unmodified-Since", http_date(if_unmodified_since)),) if if_unmodified_since else ()
    headers = (*guard, *duplicate_headers(allow_duplicates))
    return Request("PATCH", _row(version, sobject, record_id), body=values, headers=headers)


def delete(version: str, sobject: SObjectName, record_id: RecordId) -> Request:
    """Delete a record."""
    return Request("DELETE", _row(version, sobject, record_id))


def read_changed(reply: Reply) -> None:
    """Check the reply to an update or a delete, which has no body; Unanswered for one that says something else."""
    _raise_if_failed(reply)
    empty = reply.body is None and not reply.size  # not the JSON null
    if not empty and not (isinstance(reply.body, dict) and reply.body.get("success") is True):
        raise Unanswered("the answer to this change is not one that Salesforce documents", code="BAD_REPLY")


def read_by_key(version: str, sobject: SObjectName, key: tuple[str, str], fields: Sequence[str]) -> Request:
    """Read a record by an external id (REST guide, "sObject Rows by External ID")."""
    return Request("GET", _keyed(version, sobject, key), (("fields", ",".join(fields)),))


def upsert(
    version: str, sobject: SObjectName, key: tuple[str, str], values: FieldValues, *, allow_duplicates: bool = False
) -> Request:
    """Create the record with this external id, or change it (REST guide, "sObject Rows by External ID")."""
    return Request("PATCH", _keyed(version, sobject, key), body=values, headers=duplicate_headers(allow_duplicates))


def read_upserted(reply: Reply) -> tuple[RecordId, bool]:
    """The record's id, and whether it was created."""
    record_id = read_created(reply)
    return record_id, reply.status == 201 or reply.body.get("created") is True  # noqa: PLR2004  # Created


def search(version: str, sosl: str) -> Request:
    """Search (REST guide, "Search")."""
    return Request("GET", f"/services/data/{version}/search", (("q", sosl),))


def read_search_results(reply: Reply) -> list[FieldValues]:
    """The records found, each with its ``object`` first; a bare list is the form before v37.0."""
    body = reply.body
    records = read_records(body.get("searchRecords") if isinstance(body, dict) else body, reply.rest)
    rows: list[FieldValues] = []
    for record in records:
        rows.append({"object": _type(record)} | strip_attributes(record))
        reply.rest()
    return rows


def limits(version: str) -> Request:
    """Ask what the org has used of its limits (REST guide, "Limits")."""
    return Request("GET", f"/services/data/{version}/limits")


def read_limits(reply: Reply) -> dict[str, tuple[int, int]]:
    """What is allowed and what remains, by name."""
    if not isinstance(reply.body, dict):
        raise unreadable()
    allocations: dict[str, tuple[int, int]] = {}
    for name, limit in reply.body.items():
        allowance, remaining = (limit.get("Max"), limit.get("Remaining")) if isinstance(limit, dict) else (None, None)
        if is_count(allowance) and is_whole(remaining) and is_field(name):
            allocations[name] = (allowance, remaining)
    return allocations


def query(version: str, soql: str, batch_size: int, include_deleted: bool = False) -> Request:
    """Run a query (REST guide, "Query" and "QueryAll")."""
    resource = "queryAll" if include_deleted else "query"
    options = (("Sforce-Query-Options", f"batchSize={batch_size}"),)
    return Request("GET", f"/services/data/{version}/{resource}", (("q", soql),), headers=options)


def next_page(path: str) -> Request:
    """Go on with a query at a path that Salesforce gave."""
    if not _NEXT_PAGE.fullmatch(path):
        raise InvalidArgument("cursor does not belong to this call", fields=["cursor"])
    return Request("GET", path)


def is_next_page(request: Request) -> bool:
    """Whether a request goes on with a query."""
    return _NEXT_PAGE.fullmatch(request.path) is not None


def ended_with_session() -> Rejected:
    """A query whose result went with the session that began it (airbyte PR 84302): no new token brings it back."""
    return Rejected(
        "the result belongs to a session that has ended",
        code="INVALID_QUERY_LOCATOR",
        category="invalid_argument",
        hint="start again without a cursor",
        http_status=401,
    )


def read_page(reply: Reply) -> QueryPage:
    """A page of records; a next page that is not on a query path of this API is an error, never an address to call."""
    body = reply.body
    if not isinstance(body, dict):
        raise unreadable()
    rows = read_records(body.get("records"), reply.rest)
    next_path = body.get("nextRecordsUrl")
    if next_path is not None and not (isinstance(next_path, str) and _NEXT_PAGE.fullmatch(next_path)):
        raise Rejected("the org named a next page outside its query paths, which is not followed", code="BAD_NEXT_PAGE")
    total = body.get("totalSize", len(rows))
    if not is_count(total):
        raise Rejected("the org's answer has a totalSize that is no count", code="BAD_REPLY")
    return QueryPage(rows, total, next_path is None, next_path)


def describe(version: str, sobject: SObjectName) -> Request:
    """Describe an object (REST guide, "sObject Describe")."""
    return Request("GET", f"{_object(version, sobject)}/describe")


def read_describe(reply: Reply) -> dict[str, Any]:
    """The description, with its fields."""
    if not isinstance(reply.body, dict) or not isinstance(reply.body.get("fields"), list):
        raise unreadable()
    return reply.body


def versions() -> Request:
    """Ask which API versions there are (REST guide, "Versions")."""
    return Request("GET", "/services/data")


def read_versions(reply: Reply) -> list[str]:
    """The versions, oldest first, as ``v66.0``."""
    try:
        versions = api_versions([each["version"] for each in reply.body])
    except (TypeError, KeyError, ValueError):
        raise unreadable() from None
    if not versions:
        raise unreadable()
    return versions


def userinfo() -> Request:
    """Ask who we are (OpenID Connect userinfo)."""
    return Request("GET", "/services/oauth2/userinfo")


def read_userinfo(reply: Reply) -> dict[str, Any]:
    """Who we are: at least ``user_id``, ``organization_id`` and ``preferred_username``."""
    body = reply.body
    required = ("user_id", "organization_id", "preferred_username")
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in required):
        raise unreadable()
    try:
        ids = {"organization_id": org_id(body["organization_id"]), "user_id": read_record_id(body["user_id"], "005")}
    except ValueError:
        raise unreadable() from None
    return body | ids


def _raise_if_failed(reply: Reply) -> None:
    """A change whose status is success may still say in its body that nothing was saved (REST guide, SaveResult)."""
    if isinstance(reply.body, dict) and "success" in reply.body and reply.body["success"] is not True:
        if reply.body["success"] is False:
            raise refusals.failure(reply.status, reply.body.get("errors"))
        raise Unanswered(
            "the answer to this change says neither that it succeeded nor that it failed", code="BAD_REPLY"
        )


def _type(record: dict[str, Any]) -> str | None:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    return name if isinstance(name, str) and is_field(name) else None


def http_date(time: datetime) -> str:
    """A time as HTTP writes it (RFC 9110 §5.6.7), whatever the locale."""
    utc = time.astimezone(UTC)
    day = f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04}"
    return f"{day} {utc.hour:02}:{utc.minute:02}:{utc.second:02} GMT"


def _object(version: str, sobject: SObjectName) -> str:
    return f"/services/data/{version}/sobjects/{quote(sobject, safe='')}"


def _row(version: str, sobject: SObjectName, record_id: RecordId) -> str:
    return f"{_object(version, sobject)}/{quote(record_id, safe='')}"


def _keyed(version: str, sobject: SObjectName, key: tuple[str, str]) -> str:
    field, value = key
    return f"{_object(version, sobject)}/{quote(field, safe='')}/{quote(value, safe='')}"

"""How to find out whether an unanswered change happened: the exact query that tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from orgserver.model import times
from orgserver.model.errors import CallError, Rejected
from orgserver.model.names import RecordId, SObjectName
from orgserver.model.results import FieldValues
from orgserver.model.text import clean_text
from orgserver.salesforce import soql
from orgserver.salesforce.protocol import rest
from orgserver.services.calls.access import OrgSession

_KEY_FIELDS = ("Name", "LastName", "FirstName", "Email", "Subject", "StartDateTime", "WhoId", "WhatId")
"""By which an agent finds the record again that it may have created."""
_CLOCK_MARGIN = timedelta(minutes=2)
_SHOWN = 20
_NAME = 80
_PRECONDITION_FAILED = 412
_SAFE = "an upsert may be repeated safely: the same external id means the same record"
_ANEW = "repeat it with another idempotency_key, for this one now answers with this outcome"


def create_hint(session: OrgSession, sobject: SObjectName, data: FieldValues) -> str:
    """The query that tells whether an unanswered create happened."""
    since = (session.trace.server_date or datetime.now(UTC)) - _CLOCK_MARGIN
    conditions = [f"CreatedDate >= {soql.literal(since)}"]
    if session.org.user is not None:
        conditions.append(f"CreatedById = {soql.literal(session.org.user.id)}")
    for name in _KEY_FIELDS:
        value = data.get(name)
        if isinstance(value, str) and value and not times.is_datetime(value):
            conditions.append(f"{name} = {soql.literal(value)}")
    where = " AND ".join(conditions)
    return f"to see whether it was created: SELECT Id, CreatedDate FROM {sobject} WHERE {where}"  # noqa: S608


def update_hint(sobject: SObjectName, record_id: RecordId, fields: Sequence[str]) -> str:
    """The query that tells whether an unanswered update happened."""
    columns = ", ".join(("Id", "LastModifiedDate", "LastModifiedById", *_others(fields)))
    return f"to see whether it was changed: SELECT {columns} {_one(sobject, record_id)}"


def delete_hint(sobject: SObjectName, record_id: RecordId) -> str:
    """The query that tells whether an unanswered delete happened."""
    return (
        "to see whether it was deleted, when this finds nothing any more: "
        f"SELECT Id, LastModifiedDate {_one(sobject, record_id)}"
    )


def upsert_hint(sobject: SObjectName, key: tuple[str, str], fields: Sequence[str], *, anew: bool) -> str:
    """That an unanswered upsert may be repeated, and the query that tells whether it happened."""
    field, external_id = key
    columns = ", ".join(("Id", "CreatedDate", "LastModifiedDate", *_others(fields)))
    # by its text: a number's field is refused by Salesforce with a clear error, and the upsert needs no query
    query = f"SELECT {columns} FROM {sobject} WHERE {field} = {soql.literal(external_id)}"  # noqa: S608
    return f"{_SAFE}{'; ' + _ANEW if anew else ''}; to see whether it happened: {query}"


async def add_last_change(session: OrgSession, sobject: SObjectName, record_id: RecordId, error: Rejected) -> None:
    """Say in the hint of a failed precondition who changed the record, and when; one read, whose failure hides nothing.

    The name is data from the org: short, on one line and in quotes.
    """
    if error.http_status != _PRECONDITION_FAILED:
        return
    text = f"SELECT LastModifiedDate, LastModifiedBy.Name {_one(sobject, record_id)}"
    request = rest.query(session.org.api_version, text, 200)
    status = session.trace.http_status
    try:
        rows = await session.call(request, lambda reply: rest.read_page(reply).records[:1])
    except CallError:
        return
    finally:
        session.trace.http_status = status  # the entry tells of the change that was refused
    if rows:
        error.hint = f"{_last_change(rows[0])}; read it again before you change it"


def _last_change(record: FieldValues) -> str:
    when, by = record.get("LastModifiedDate"), record.get("LastModifiedBy")
    at = f" at {when}" if isinstance(when, str) and times.is_datetime(when) else ""
    name = by.get("Name") if isinstance(by, dict) else None
    who = (
        f" by the user called {json.dumps(clean_text(name, _NAME), ensure_ascii=False)}"
        if isinstance(name, str)
        else ""
    )
    return f"it was last changed{at}{who}"


def _one(sobject: SObjectName, record_id: RecordId) -> str:
    return f"FROM {sobject} WHERE Id = {soql.literal(record_id)}"


def _others(fields: Sequence[str]) -> list[str]:
    selected = {"id", "lastmodifieddate", "lastmodifiedbyid"}
    return [name for name in fields if name.lower() not in selected][:_SHOWN]

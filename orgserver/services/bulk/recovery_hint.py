"""How to find out which records an unanswered large change has changed: a query, in words for the agent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from orgserver.salesforce import soql as soql_text
from orgserver.services.bulk.request import BulkRequest
from orgserver.services.calls.access import OrgSession

_SHOWN_IDS = 5
_MARGIN = timedelta(minutes=2)


def recovery_hint(session: OrgSession, request: BulkRequest) -> str:
    """The query that tells what became of an unanswered change."""
    since = started_at(session) - _MARGIN
    if request.action == "delete":
        some = ", ".join(soql_text.literal(each) for each in request.ids[:_SHOWN_IDS])
        where = f"Id IN ({some})" if some else "the same condition"
        purpose = "to see which were deleted, when this finds them no more:"
        return f"{purpose} SELECT Id FROM {request.sobject} WHERE {where}"  # noqa: S608
    when, by = (
        ("CreatedDate", "CreatedById") if request.action == "create" else ("LastModifiedDate", "LastModifiedById")
    )
    where = f"{when} >= {soql_text.literal(since)}"
    if session.org.user is not None:
        where += f" AND {by} = {soql_text.literal(session.org.user.id)}"
    return f"to see which were changed: SELECT Id, {when} FROM {request.sobject} WHERE {where}"  # noqa: S608


def started_at(session: OrgSession) -> datetime:
    """When this was begun, by the org's clock: a large change takes minutes, and its first records count too."""
    start, now = datetime.fromtimestamp((UUID(session.entry_id).int >> 80) / 1_000, UTC), datetime.now(UTC)
    there = session.trace.server_date
    return start + (there.astimezone(UTC) - now) if there is not None else start

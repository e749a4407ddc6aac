"""The tool that changes many records at once."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from orgserver.model.audit import Action
from orgserver.model.bulk import BulkAction, BulkResult
from orgserver.services.bulk.request import MAX_RECORDS, BulkArguments
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.tools import results
from orgserver.tools.arguments import AllowDuplicates, Arguments, IdempotencyKey, ObjectName, Org, Preview, RecordData
from orgserver.tools.tool import ToolSpec


class ChangeRecords(Arguments):
    """Arguments of salesforce_change_records."""

    org: Org
    object: ObjectName
    action: BulkAction
    records: Annotated[
        list[RecordData] | None,
        Field(max_length=MAX_RECORDS),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"type": "object"},
                "description": "with Id inside (update, delete) or the external id (upsert)",
            }
        ),
    ] = None
    soql: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "description": "instead of records: update or delete all that it finds"}),
    ] = None
    data: Annotated[
        RecordData | None, WithJsonSchema({"type": "object", "description": "what each record of soql gets"})
    ] = None
    external_id_field: Annotated[
        str | None, Field(max_length=80), WithJsonSchema({"type": "string", "description": "for upsert"})
    ] = None
    all_or_none: Annotated[
        bool, WithJsonSchema({"type": "boolean", "description": "up to 200 records: all of them or nothing"})
    ] = False
    allow_duplicates: AllowDuplicates = False
    preview: Preview = False
    idempotency_key: IdempotencyKey = None
    cursor: Annotated[
        str | None,
        Field(max_length=4_096),
        WithJsonSchema({"type": "string", "description": "next_cursor: more results; org, object, action as before"}),
    ] = None


async def run(services: Services, call: Call, arguments: ChangeRecords) -> dict[str, Any]:
    """Change records, or page through the results of a change."""
    change = BulkArguments(
        call.object,
        arguments.action,
        [record.values() for record in arguments.records] if arguments.records is not None else None,
        arguments.soql,
        arguments.data.values() if arguments.data is not None else None,
        arguments.external_id_field,
        arguments.all_or_none,
        arguments.preview,
        arguments.idempotency_key,
        arguments.allow_duplicates,
    )
    if arguments.cursor is not None:
        return _shaped(call.org, await services.bulk.page(call.caller, call.org, change, arguments.cursor))
    return _shaped(call.org, await services.executor.run(call, services.bulk.change(change)))


def _shaped(org: str, result: BulkResult) -> dict[str, Any]:
    counts = result.counts
    answer: dict[str, Any] = {"org": org, "audit_id": result.audit_id, "total": counts.total}
    if result.preview:
        answer["preview"] = True
    else:
        answer |= {"succeeded": counts.succeeded, "failed": counts.failed, "unknown": counts.unknown}
    answer["results"] = result.results
    if result.next_cursor is not None:
        answer["next_cursor"] = result.next_cursor
    return answer | ({"warnings": list(result.warnings)} if result.warnings else {})


TOOLS = (
    ToolSpec(
        "salesforce_change_records",
        "Change many records",
        "Create, update, delete or upsert many records of one object at once: records, or all that soql finds "
        "(SELECT Id FROM …) with data. Failures come first in results; the rest follows by cursor. For one record use "
        "its own tool. More than 200 records need a person's consent.",
        ChangeRecords,
        results.BULK_SCHEMA,
        run,
        Action.BULK,
        writes=True,
        destroys=True,
    ),
)

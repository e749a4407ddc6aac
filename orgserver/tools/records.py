"""Tools for the records of any object."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from orgserver.model.audit import Action
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.services.records.upsert import MAX_EXTERNAL_ID, Upsert
from orgserver.tools import results, tool
from orgserver.tools.arguments import (
    AllowDuplicates,
    Arguments,
    Fields,
    IdempotencyKey,
    ObjectName,
    Org,
    Preview,
    RecordData,
    RecordIdText,
    Since,
)
from orgserver.tools.tool import ToolSpec


class CreateRecord(Arguments):
    """Arguments of salesforce_create_record."""

    org: Org
    object: ObjectName
    data: RecordData
    idempotency_key: IdempotencyKey = None
    allow_duplicates: AllowDuplicates = False


class GetRecord(Arguments):
    """Arguments of salesforce_get_record."""

    org: Org
    object: ObjectName
    record_id: RecordIdText
    fields: Fields = None


class UpdateRecord(Arguments):
    """Arguments of salesforce_update_record."""

    org: Org
    object: ObjectName
    record_id: RecordIdText
    data: RecordData
    if_unmodified_since: Since = None
    allow_duplicates: AllowDuplicates = False
    preview: Preview = False


class DeleteRecord(Arguments):
    """Arguments of salesforce_delete_record."""

    org: Org
    object: ObjectName
    record_id: RecordIdText
    preview: Preview = False


class UpsertRecord(Arguments):
    """Arguments of salesforce_upsert_record."""

    org: Org
    object: ObjectName
    external_id_field: Annotated[
        str,
        Field(max_length=80),
        WithJsonSchema({"type": "string", "description": "an external id field, e.g. Erp_Id__c"}),
    ]
    external_id: Annotated[str, Field(min_length=1, max_length=MAX_EXTERNAL_ID)]
    data: RecordData
    idempotency_key: IdempotencyKey = None
    allow_duplicates: AllowDuplicates = False


async def _upsert(services: Services, call: Call, arguments: UpsertRecord) -> dict[str, Any]:
    """Create a record, or change the one that has this external id."""
    upsert = Upsert(
        call.object,
        arguments.external_id_field,
        arguments.external_id,
        arguments.data.values(),
        arguments.idempotency_key,
        arguments.allow_duplicates,
    )
    return results.upserted(call.org, await services.executor.run(call, services.writing.upsert(upsert)))


TOOLS = (
    ToolSpec(
        "salesforce_create_record",
        "Create record",
        "Create a record of any object. For a contact or an appointment use their own tools. Where the object has an "
        "external id field, salesforce_upsert_record is the safe create.",
        CreateRecord,
        results.CREATED_SCHEMA,
        tool.create,
        Action.CREATE,
        writes=True,
    ),
    ToolSpec(
        "salesforce_get_record",
        "Get record",
        "Read one record of any object whose id you know. Without fields: every field that is not empty. To find "
        "records use salesforce_query or salesforce_search.",
        GetRecord,
        results.RECORD_SCHEMA,
        tool.read("record_id"),
        Action.READ,
    ),
    ToolSpec(
        "salesforce_update_record",
        "Update record",
        "Change fields of one record of any object; null clears a field. Fields not named stay as they are.",
        UpdateRecord,
        results.UPDATED_SCHEMA,
        tool.update("record_id"),
        Action.UPDATE,
        writes=True,
        idempotent=True,
    ),
    ToolSpec(
        "salesforce_delete_record",
        "Delete record",
        "Delete one record of any object (to the org's recycle bin). Only when asked for.",
        DeleteRecord,
        results.DELETED_SCHEMA,
        tool.delete("record_id"),
        Action.DELETE,
        writes=True,
        destroys=True,
        idempotent=True,
    ),
    ToolSpec(
        "salesforce_upsert_record",
        "Upsert record",
        "The safe create: make the record that has this external id, or change it if it exists. Repeating it never "
        "makes a second record. data without the external id.",
        UpsertRecord,
        results.UPSERTED_SCHEMA,
        _upsert,
        Action.UPSERT,
        writes=True,
        idempotent=True,
    ),
)

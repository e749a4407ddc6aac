"""Tools for appointments, which Salesforce calls events."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from orgserver.model.audit import Action
from orgserver.model.names import EVENT
from orgserver.tools import results, tool
from orgserver.tools.arguments import (
    AllowDuplicates,
    Arguments,
    Count,
    Cursor,
    Fields,
    Filter,
    IdempotencyKey,
    Limit,
    Moment,
    NewWhen,
    OrderBy,
    Org,
    Preview,
    RecordData,
    RecordIdText,
    Since,
    When,
    as_in,
    text,
)
from orgserver.tools.tool import ToolSpec


class AppointmentFields(RecordData):
    """Fields of an appointment to change."""

    Subject: Annotated[str | None, *text(255)] = None
    StartDateTime: When = None
    IsAllDayEvent: Annotated[bool | int | str | None, WithJsonSchema({"type": "boolean"})] = None
    DurationInMinutes: Annotated[int | float | str | None, WithJsonSchema({"type": "integer"})] = None
    EndDateTime: When = None
    Location: Annotated[str | None, *text(255)] = None
    Description: Annotated[str | None, *text(32_000)] = None
    WhoId: Annotated[str | None, WithJsonSchema({"type": ["string", "null"], "description": "Contact or Lead"})] = None
    WhatId: Annotated[
        str | None, WithJsonSchema({"type": ["string", "null"], "description": "Account, Opportunity, …"})
    ] = None


class NewAppointment(AppointmentFields):
    """An appointment to create."""

    Subject: Annotated[str, Field(max_length=255)]  # required, never null
    StartDateTime: NewWhen
    EndDateTime: Annotated[
        str | None,
        Field(max_length=120, validate_default=True),
        WithJsonSchema({"type": "string", "description": "or DurationInMinutes"}),
    ] = None

    @field_validator("EndDateTime")
    @classmethod
    def _check_end(cls, end: str | None, info: ValidationInfo) -> str | None:
        """See that the fields before it or itself say when it ends (Object Reference, "Event"): a whole day does."""
        if end is None and info.data.get("DurationInMinutes") is None and not info.data.get("IsAllDayEvent"):
            raise PydanticCustomError("missing_end", "is required, unless DurationInMinutes or IsAllDayEvent is there")
        return end


class CreateAppointment(Arguments):
    """Arguments of salesforce_create_appointment."""

    org: Org
    data: NewAppointment
    idempotency_key: IdempotencyKey = None
    allow_duplicates: AllowDuplicates = False


class GetAppointment(Arguments):
    """Arguments of salesforce_get_appointment."""

    org: Org
    event_id: RecordIdText
    fields: Fields = None


class UpdateAppointment(Arguments):
    """Arguments of salesforce_update_appointment."""

    org: Org
    event_id: RecordIdText
    data: Annotated[AppointmentFields, as_in("salesforce_create_appointment")]
    if_unmodified_since: Since = None
    allow_duplicates: AllowDuplicates = False
    preview: Preview = False


class DeleteAppointment(Arguments):
    """Arguments of salesforce_delete_appointment."""

    org: Org
    event_id: RecordIdText
    preview: Preview = False


class ListAppointments(Arguments):
    """Arguments of salesforce_list_appointments."""

    org: Org
    limit: Limit = 10
    cursor: Cursor = None
    fields: Fields = None
    filter: Filter = None
    order_by: OrderBy = None
    start: Moment = None
    end: Moment = None
    count: Count = False


TOOLS = (
    ToolSpec(
        "salesforce_create_appointment",
        "Create appointment",
        "Create an appointment (Salesforce Event) in one org. Times need an offset or zone: 2026-11-24T10:00 "
        "Europe/Berlin. One read first, to warn of overlaps. data takes any createable field.",
        CreateAppointment,
        results.CREATED_SCHEMA,
        tool.create,
        Action.CREATE,
        EVENT,
        writes=True,
    ),
    ToolSpec(
        "salesforce_get_appointment",
        "Get appointment",
        "Read one appointment whose id you know. To find one by time use salesforce_list_appointments.",
        GetAppointment,
        results.RECORD_SCHEMA,
        tool.read("event_id"),
        Action.READ,
        EVENT,
    ),
    ToolSpec(
        "salesforce_update_appointment",
        "Update appointment",
        "Move or change one appointment; null clears a field. Give StartDateTime and EndDateTime together.",
        UpdateAppointment,
        results.UPDATED_SCHEMA,
        tool.update("event_id"),
        Action.UPDATE,
        EVENT,
        writes=True,
        idempotent=True,
    ),
    ToolSpec(
        "salesforce_delete_appointment",
        "Delete appointment",
        "Delete one appointment (to the org's recycle bin). Only when asked for.",
        DeleteAppointment,
        results.DELETED_SCHEMA,
        tool.delete("event_id"),
        Action.DELETE,
        EVENT,
        writes=True,
        destroys=True,
        idempotent=True,
    ),
    ToolSpec(
        "salesforce_list_appointments",
        "List appointments",
        "List appointments that overlap start to end, earliest first; from now on when neither is given.",
        ListAppointments,
        results.PAGE_SCHEMA,
        tool.list_,
        Action.LIST,
        EVENT,
    ),
)

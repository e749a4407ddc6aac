"""Tools for contacts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orgserver.model.audit import Action
from orgserver.model.names import CONTACT
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
    OrderBy,
    Org,
    Preview,
    RecordData,
    RecordIdText,
    RecordReference,
    Since,
    as_in,
    text,
)
from orgserver.tools.tool import ToolSpec


class ContactFields(RecordData):
    """Fields of a contact to change."""

    LastName: Annotated[str | None, *text(80)] = None
    FirstName: Annotated[str | None, *text(40)] = None
    Email: Annotated[str | None, *text(80, format="email")] = None
    Phone: Annotated[str | None, *text(40)] = None
    Title: Annotated[str | None, *text(128)] = None
    AccountId: RecordReference = None


class NewContact(ContactFields):
    """A contact to create."""

    LastName: Annotated[str, Field(min_length=1, max_length=80)]  # required, never null


class CreateContact(Arguments):
    """Arguments of salesforce_create_contact."""

    org: Org
    data: NewContact
    idempotency_key: IdempotencyKey = None
    allow_duplicates: AllowDuplicates = False


class GetContact(Arguments):
    """Arguments of salesforce_get_contact."""

    org: Org
    contact_id: RecordIdText
    fields: Fields = None


class UpdateContact(Arguments):
    """Arguments of salesforce_update_contact."""

    org: Org
    contact_id: RecordIdText
    data: Annotated[ContactFields, as_in("salesforce_create_contact")]
    if_unmodified_since: Since = None
    allow_duplicates: AllowDuplicates = False
    preview: Preview = False


class DeleteContact(Arguments):
    """Arguments of salesforce_delete_contact."""

    org: Org
    contact_id: RecordIdText
    preview: Preview = False


class ListContacts(Arguments):
    """Arguments of salesforce_list_contacts."""

    org: Org
    limit: Limit = 10
    cursor: Cursor = None
    fields: Fields = None
    filter: Filter = None
    order_by: OrderBy = None
    count: Count = False


TOOLS = (
    ToolSpec(
        "salesforce_create_contact",
        "Create contact",
        "Create a Contact in one org. Use it for a new person; list first to avoid duplicates. "
        "data takes any createable field.",
        CreateContact,
        results.CREATED_SCHEMA,
        tool.create,
        Action.CREATE,
        CONTACT,
        writes=True,
    ),
    ToolSpec(
        "salesforce_get_contact",
        "Get contact",
        "Read one Contact whose id you know. To find one by name or email use salesforce_list_contacts.",
        GetContact,
        results.RECORD_SCHEMA,
        tool.read("contact_id"),
        Action.READ,
        CONTACT,
    ),
    ToolSpec(
        "salesforce_update_contact",
        "Update contact",
        "Change fields of one Contact; null clears a field. Fields not named stay as they are.",
        UpdateContact,
        results.UPDATED_SCHEMA,
        tool.update("contact_id"),
        Action.UPDATE,
        CONTACT,
        writes=True,
        idempotent=True,
    ),
    ToolSpec(
        "salesforce_delete_contact",
        "Delete contact",
        "Delete one Contact (to the org's recycle bin). Only when asked for.",
        DeleteContact,
        results.DELETED_SCHEMA,
        tool.delete("contact_id"),
        Action.DELETE,
        CONTACT,
        writes=True,
        destroys=True,
        idempotent=True,
    ),
    ToolSpec(
        "salesforce_list_contacts",
        "List contacts",
        "List or find Contacts, newest change first. Use filter for names, emails and the like; "
        "SOQL (salesforce_query) for anything more.",
        ListContacts,
        results.PAGE_SCHEMA,
        tool.list_,
        Action.LIST,
        CONTACT,
    ),
)

"""Tools that tell what objects and fields an org has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, WithJsonSchema

from orgserver.model.audit import Action
from orgserver.model.orgs import Caller
from orgserver.tools import results, schema_view
from orgserver.tools.arguments import Arguments, Cursor, Org
from orgserver.tools.tool import ToolSpec

if TYPE_CHECKING:
    from orgserver.services.operations import Operations

_DESCRIBE, _LIST = "salesforce_describe_object", "salesforce_list_objects"


class DescribeObject(Arguments):
    """Arguments of salesforce_describe_object."""

    org: Org
    object: Annotated[str, Field(min_length=1, max_length=255), WithJsonSchema({"type": "string"})]
    fields: Annotated[
        list[str] | None,
        Field(max_length=500),
        WithJsonSchema({"type": "array", "items": {"type": "string"}, "description": "only these, in full"}),
    ] = None
    detail: Annotated[
        bool, WithJsonSchema({"type": "boolean", "description": "everything, child relationships too; long"})
    ] = False
    refresh: Annotated[bool, WithJsonSchema({"type": "boolean", "description": "as it is now, not minutes ago"})] = (
        False
    )


class ListObjects(Arguments):
    """Arguments of salesforce_list_objects."""

    org: Org
    match: Annotated[
        str | None,
        Field(max_length=255),
        WithJsonSchema({"type": "string", "description": "part of a name or label"}),
    ] = None
    cursor: Cursor = None


async def describe(operations: Operations, caller: Caller, given: DescribeObject) -> dict[str, Any]:
    """Tell what fields an object has."""
    schema = await operations.describe(caller, _DESCRIBE, given.org, given.object, given.fields, refresh=given.refresh)
    if given.fields is not None:
        told = schema_view.chosen(schema, given.fields)
    else:
        told = schema_view.whole(schema) if given.detail else schema_view.compact(schema)
    return {"org": given.org} | told


async def list_objects(operations: Operations, caller: Caller, given: ListObjects) -> dict[str, Any]:
    """Name objects."""
    page = await operations.objects(caller, _LIST, given.org, given.match, given.cursor)
    shaped = {
        "org": given.org,
        "objects": [schema_view.named(each) for each in page.objects],
        "total_size": page.total_size,
    }
    return shaped | ({"next_cursor": page.next_cursor} if page.next_cursor else {})


TOOLS = (
    ToolSpec(
        _DESCRIBE,
        "Describe object",
        "Fields of one object: names, types, picklist values, what a create requires. Use it before you guess a "
        "field name. What is not marked is writable, optional, filterable.",
        DescribeObject,
        results.SCHEMA_SCHEMA,
        describe,
        Action.DESCRIBE,
    ),
    ToolSpec(
        _LIST,
        "List objects",
        "Names and labels of an org's objects, custom ones too. Use it when you do not know what an object is called.",
        ListObjects,
        results.OBJECTS_SCHEMA,
        list_objects,
        Action.DESCRIBE,
    ),
)

"""Tools that tell what objects and fields an org has."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import structs
from pydantic import Field, WithJsonSchema

from orgserver.model.audit import Action
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.services.describe.operations import read_object_name
from orgserver.tools import results, schema_view
from orgserver.tools.arguments import Arguments, Cursor, Org
from orgserver.tools.tool import ToolSpec


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


async def describe(services: Services, call: Call, arguments: DescribeObject) -> dict[str, Any]:
    """Tell what fields an object has."""
    operation = services.describe.describe(arguments.object, arguments.fields, refresh=arguments.refresh)
    named = structs.replace(call, sobject=read_object_name(arguments.object))
    schema = await services.executor.run(named, operation)
    if arguments.fields is not None:
        view = schema_view.chosen(schema, arguments.fields)
    else:
        view = schema_view.whole(schema) if arguments.detail else schema_view.compact(schema)
    return {"org": call.org} | view


async def list_objects(services: Services, call: Call, arguments: ListObjects) -> dict[str, Any]:
    """Name objects."""
    operation = services.describe.list_objects(arguments.match, arguments.cursor)
    page = await services.executor.run(call, operation)
    shaped = {
        "org": call.org,
        "objects": [schema_view.named(each) for each in page.objects],
        "total_size": page.total_size,
    }
    return shaped | ({"next_cursor": page.next_cursor} if page.next_cursor else {})


TOOLS = (
    ToolSpec(
        "salesforce_describe_object",
        "Describe object",
        "Fields of one object: names, types, picklist values, what a create requires. Use it before you guess a "
        "field name. What is not marked is writable, optional, filterable.",
        DescribeObject,
        results.SCHEMA_SCHEMA,
        describe,
        Action.DESCRIBE,
    ),
    ToolSpec(
        "salesforce_list_objects",
        "List objects",
        "Names and labels of an org's objects, custom ones too. Use it when you do not know what an object is called.",
        ListObjects,
        results.OBJECTS_SCHEMA,
        list_objects,
        Action.DESCRIBE,
    ),
)

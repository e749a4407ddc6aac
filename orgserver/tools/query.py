"""The tool for SOQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import WithJsonSchema

from orgserver.model.audit import Action
from orgserver.model.orgs import Caller
from orgserver.tools import replies
from orgserver.tools.arguments import Arguments, Cursor, Limit, Org
from orgserver.tools.family import ToolSpec

if TYPE_CHECKING:
    from orgserver.services.operations import Operations


class Query(Arguments):
    """Arguments of salesforce_query."""

    org: Org
    soql: str
    limit: Limit = 50
    cursor: Cursor = None
    include_deleted: Annotated[
        bool, WithJsonSchema({"type": "boolean", "description": "also the recycle bin and archive"})
    ] = False


async def run(operations: Operations, caller: Caller, given: Query) -> dict[str, Any]:
    """Run a query."""
    result = await operations.query(
        caller,
        "salesforce_query",
        given.org,
        given.soql,
        limit=given.limit,
        cursor=given.cursor,
        include_deleted=given.include_deleted,
    )
    return replies.page(given.org, result)


TOOLS = (
    ToolSpec(
        "salesforce_query",
        "SOQL query",
        "Run a SOQL query in one org: any object, joins, counts, groups. Use the list tools for plain lists of "
        "contacts or appointments. Quote texts with '; dates are not quoted.",
        Query,
        replies.PAGE_SCHEMA,
        run,
        Action.QUERY,
    ),
)

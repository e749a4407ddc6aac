"""The tools that find records of any object: by SOQL, and by a text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from orgserver.model.audit import Action
from orgserver.salesforce.soql import sosl
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.services.queries import search
from orgserver.services.queries.search import Search
from orgserver.tools import results
from orgserver.tools.arguments import Arguments, Count, Cursor, Limit, Org
from orgserver.tools.tool import ToolSpec


class Query(Arguments):
    """Arguments of salesforce_query."""

    org: Org
    soql: str
    limit: Limit = 50
    cursor: Cursor = None
    include_deleted: Annotated[
        bool, WithJsonSchema({"type": "boolean", "description": "also the recycle bin and archive"})
    ] = False
    count: Count = False


async def run(services: Services, call: Call, arguments: Query) -> dict[str, Any]:
    """Run a query."""
    operation = services.queries.query(
        arguments.soql,
        limit=arguments.limit,
        cursor=arguments.cursor,
        include_deleted=arguments.include_deleted,
        count=arguments.count,
    )
    return results.page(call.org, await services.executor.run(call, operation))


class SearchText(Arguments):
    """Arguments of salesforce_search."""

    org: Org
    text: Annotated[str, Field(min_length=sosl.MIN_TEXT, max_length=sosl.MAX_TEXT)]
    objects: Annotated[
        list[str] | None,
        WithJsonSchema(
            {
                "type": "array",
                "items": {"type": "string"},
                "description": "default: Account, Contact, Lead, Opportunity, Case",
            }
        ),
    ] = None
    limit: Limit = 20


async def _search(services: Services, call: Call, arguments: SearchText) -> dict[str, Any]:
    """Search for a text."""
    operation = search.find_records(Search(arguments.text, arguments.objects, arguments.limit))
    return results.found(call.org, await services.executor.run(call, operation))


TOOLS = (
    ToolSpec(
        "salesforce_query",
        "SOQL query",
        "Run a SOQL query in one org: any object, joins, counts, groups. Use the list tools for plain lists of "
        "contacts or appointments. Quote texts with '; dates are not quoted.",
        Query,
        results.PAGE_SCHEMA,
        run,
        Action.QUERY,
    ),
    ToolSpec(
        "salesforce_search",
        "Search",
        "Find records of several objects by words, email or phone in any field, like Salesforce's search box. Use it "
        "when you do not know which object or field. New records take some seconds.",
        SearchText,
        results.FOUND_SCHEMA,
        _search,
        Action.SEARCH,
    ),
)

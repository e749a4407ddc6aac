"""The tools about orgs themselves: which there are, and what is used of their limits."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from orgserver.model.audit import Action
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.services.orgs import usage
from orgserver.tools import results
from orgserver.tools.arguments import Arguments, Cursor, Org
from orgserver.tools.tool import ToolSpec


class ListOrgs(Arguments):
    """Arguments of salesforce_list_orgs."""

    match: Annotated[
        str | None,
        Field(max_length=255),
        WithJsonSchema({"type": "string", "description": "part of an alias, name or tag"}),
    ] = None
    cursor: Cursor = None


async def run(services: Services, call: Call, arguments: ListOrgs) -> dict[str, Any]:
    """Name the orgs."""
    page = await services.visible_orgs.page(call, arguments.match, arguments.cursor)
    shaped: dict[str, Any] = {"orgs": page.orgs}
    shaped |= {"next_cursor": page.next_cursor} if page.next_cursor else {}
    return shaped | ({"warnings": list(page.warnings)} if page.warnings else {})


class GetLimits(Arguments):
    """Arguments of salesforce_limits."""

    org: Org


async def _limits(services: Services, call: Call, _arguments: GetLimits) -> dict[str, Any]:
    """Tell what an org has used of its limits."""
    return results.usage(call.org, await services.executor.run(call, usage.read_limits()))


TOOLS = (
    ToolSpec(
        "salesforce_list_orgs",
        "List orgs",
        "The orgs you may use, what you may do in each, its state. Call it first when you do not know an org's alias.",
        ListOrgs,
        results.ORGS_SCHEMA,
        run,
        Action.LIST,
    ),
    ToolSpec(
        "salesforce_limits",
        "Org limits",
        "API calls, storage and bulk quota of one org: allowed, remaining, used percent. Look before large jobs.",
        GetLimits,
        results.LIMITS_SCHEMA,
        _limits,
        Action.LIMITS,
    ),
)

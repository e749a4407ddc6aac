"""The tools about orgs themselves: which there are, and what is used of their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, WithJsonSchema

from orgserver.model.audit import Action
from orgserver.model.orgs import Caller
from orgserver.services.orgs import limits
from orgserver.tools import results
from orgserver.tools.arguments import Arguments, Cursor, Org
from orgserver.tools.tool import ToolSpec

if TYPE_CHECKING:
    from orgserver.services.operations import Operations


_NAME = "salesforce_list_orgs"


class ListOrgs(Arguments):
    """Arguments of salesforce_list_orgs."""

    match: Annotated[
        str | None,
        Field(max_length=255),
        WithJsonSchema({"type": "string", "description": "part of an alias, name or tag"}),
    ] = None
    cursor: Cursor = None


async def run(operations: Operations, caller: Caller, given: ListOrgs) -> dict[str, Any]:
    """Name the orgs."""
    page = await operations.orgs(caller, _NAME, given.match, given.cursor)
    shaped: dict[str, Any] = {"orgs": page.orgs}
    shaped |= {"next_cursor": page.next_cursor} if page.next_cursor else {}
    return shaped | ({"warnings": list(page.warnings)} if page.warnings else {})


class GetLimits(Arguments):
    """Arguments of salesforce_limits."""

    org: Org


async def _limits(operations: Operations, caller: Caller, given: GetLimits) -> dict[str, Any]:
    """Tell what an org has used of its limits."""
    result = await operations.perform(
        caller, "salesforce_limits", Action.LIMITS, given.org, None, lambda _org: limits.plan()
    )
    return results.usage(given.org, result)


TOOLS = (
    ToolSpec(
        _NAME,
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

"""The tool that names the orgs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, WithJsonSchema

from orgserver.model.orgs import Caller
from orgserver.tools import replies
from orgserver.tools.arguments import Arguments, Cursor
from orgserver.tools.family import ToolSpec

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
    return shaped | ({"next_cursor": page.next_cursor} if page.next_cursor else {})


TOOLS = (
    ToolSpec(
        _NAME,
        "List orgs",
        "Name the Salesforce orgs you may use, what you may do in each, and its state. Call it first when you do "
        "not know the alias for the org argument of the other tools.",
        ListOrgs,
        replies.ORGS_SCHEMA,
        run,
    ),
)

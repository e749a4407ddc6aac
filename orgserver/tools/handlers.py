"""The verbs that the tools of every object share, each bound to its tool, its object and its argument names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orgserver.model.names import SObjectName
from orgserver.model.names import sobject as sobject_name
from orgserver.model.orgs import Caller
from orgserver.services.queries.list_query import Listing
from orgserver.tools import results
from orgserver.tools.tool import Run

if TYPE_CHECKING:
    from orgserver.services.operations import Operations


def _object(given: Any, sobject: SObjectName | None) -> SObjectName:
    """The tool's object, or the one that the call names."""
    return sobject or sobject_name(given.object)


def create(tool: str, sobject: SObjectName | None) -> Run:
    """Create a record."""

    async def run(operations: Operations, caller: Caller, given: Any) -> dict[str, Any]:
        result = await operations.create(
            caller,
            tool,
            given.org,
            _object(given, sobject),
            given.data.values(),
            idempotency_key=given.idempotency_key,
            allow_duplicates=given.allow_duplicates,
        )
        return results.created(given.org, result)

    return run


def read(tool: str, sobject: SObjectName | None, id_argument: str) -> Run:
    """Read a record."""

    async def run(operations: Operations, caller: Caller, given: Any) -> dict[str, Any]:
        identifier = getattr(given, id_argument)
        about = _object(given, sobject)
        return results.record(
            given.org, await operations.read(caller, tool, given.org, about, identifier, given.fields)
        )

    return run


def update(tool: str, sobject: SObjectName | None, id_argument: str) -> Run:
    """Change a record, or show what would change."""

    async def run(operations: Operations, caller: Caller, given: Any) -> dict[str, Any]:
        result = await operations.update(
            caller,
            tool,
            given.org,
            _object(given, sobject),
            getattr(given, id_argument),
            given.data.values(),
            if_unmodified_since=given.if_unmodified_since,
            preview=given.preview,
            allow_duplicates=given.allow_duplicates,
        )
        return results.updated(given.org, result)

    return run


def delete(tool: str, sobject: SObjectName | None, id_argument: str) -> Run:
    """Delete a record, or show what would go."""

    async def run(operations: Operations, caller: Caller, given: Any) -> dict[str, Any]:
        identifier = getattr(given, id_argument)
        about = _object(given, sobject)
        result = await operations.delete(caller, tool, given.org, about, identifier, preview=given.preview)
        return results.deleted(given.org, result)

    return run


def list_(tool: str, sobject: SObjectName) -> Run:
    """List records; ``start`` and ``end`` where the tool has them."""

    async def run(operations: Operations, caller: Caller, given: Any) -> dict[str, Any]:
        listing = Listing(
            sobject,
            given.limit,
            given.cursor,
            given.fields,
            given.filter,
            given.order_by,
            getattr(given, "start", None),
            getattr(given, "end", None),
            given.count,
        )
        return results.page(given.org, await operations.list(caller, tool, given.org, listing))

    return run

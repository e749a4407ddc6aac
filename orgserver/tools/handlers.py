"""What the tools of every object have in common: each handler runs one operation on the object of its call."""

from __future__ import annotations

from typing import Any

from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.services.queries.list_query import Listing
from orgserver.tools import results
from orgserver.tools.tool import Run


async def create(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
    """Create a record."""
    operation = services.writing.create(
        arguments.data.values(),
        idempotency_key=arguments.idempotency_key,
        allow_duplicates=arguments.allow_duplicates,
    )
    return results.created(call.org, await services.executor.run(call, operation))


def read(id_argument: str) -> Run:
    """Read a record."""

    async def run(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
        operation = services.records.read(getattr(arguments, id_argument), arguments.fields, id_argument=id_argument)
        return results.record(call.org, await services.executor.run(call, operation))

    return run


def update(id_argument: str) -> Run:
    """Change a record, or show what would change."""

    async def run(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
        operation = services.writing.update(
            getattr(arguments, id_argument),
            arguments.data.values(),
            if_unmodified_since=arguments.if_unmodified_since,
            preview=arguments.preview,
            allow_duplicates=arguments.allow_duplicates,
            id_argument=id_argument,
        )
        return results.updated(call.org, await services.executor.run(call, operation))

    return run


def delete(id_argument: str) -> Run:
    """Delete a record, or show what would go."""

    async def run(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
        operation = services.records.delete(
            getattr(arguments, id_argument), preview=arguments.preview, id_argument=id_argument
        )
        return results.deleted(call.org, await services.executor.run(call, operation))

    return run


async def list_(services: Services, call: Call, arguments: Any) -> dict[str, Any]:
    """List records; ``start`` and ``end`` where the tool has them."""
    listing = Listing(
        call.object,
        arguments.limit,
        arguments.cursor,
        arguments.fields,
        arguments.filter,
        arguments.order_by,
        getattr(arguments, "start", None),
        getattr(arguments, "end", None),
        arguments.count,
    )
    return results.page(call.org, await services.executor.run(call, services.queries.list(listing)))

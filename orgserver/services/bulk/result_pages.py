"""The results of a large change that do not fit into its answer, page by page out of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncConnection

from orgserver.model.bulk import BulkResult, Counts
from orgserver.model.errors import InvalidArgument
from orgserver.model.orgs import Caller, Org
from orgserver.services.bulk.request import BulkArguments
from orgserver.services.results import cursors
from orgserver.services.results.byte_budget import ByteBudget
from orgserver.services.results.cursors import Position
from orgserver.store.audit import result_parts
from orgserver.store.session import Store

_PAGE = 1_000


async def read_page(store: Store, caller: Caller, org: Org, arguments: BulkArguments, cursor: str) -> BulkResult:
    """The results from a cursor on.

    What decided the change need not be repeated, which may be 20,000 records; what is repeated must be the same.
    """
    position = cursors.read(
        store.cursors, cursor, org=org.login_owner, principal=caller.principal.name, arguments=_binding(arguments)
    )
    if arguments.preview or (arguments.has_more_than_action() and arguments.digest() != position.arguments_digest):
        raise InvalidArgument(
            "cursor belongs to another call",
            fields=["cursor"],
            hint="beside it give org, object and action alone, or all the arguments of the call unchanged",
        )
    entry_id = position.path or ""
    async with store.database.reading() as connection:
        counts, _number = await result_parts.count_results(connection, entry_id)
        results = [each async for each in _results_from(connection, entry_id, position.skip, counts)]
    if not counts.total:
        raise InvalidArgument("these results were pruned from the audit log", fields=["cursor"])
    next_cursor, end = None, position.skip + len(results)
    if end < counts.total:
        next_cursor = write_cursor(store, caller, org, arguments, structs.replace(position, skip=end))
    return BulkResult(entry_id, counts, results, next_cursor)


def write_cursor(store: Store, caller: Caller, org: Org, arguments: BulkArguments, position: Position) -> str:
    """A cursor to the results from a position on."""
    return cursors.write(
        store.cursors, position, org=org.login_owner, principal=caller.principal.name, arguments=_binding(arguments)
    )


def _binding(arguments: BulkArguments) -> dict[str, Any]:
    return {"tool": "change_records", "object": arguments.sobject, "action": arguments.action}


async def _results_from(
    connection: AsyncConnection, entry_id: str, skip: int, counts: Counts
) -> AsyncIterator[dict[str, Any]]:
    """Results from a place on: first what did not succeed, then what did, each by index; as many as a result holds."""
    budget, length, place = ByteBudget(), 0, 0
    for of_successes in (False, True):
        size = counts.succeeded if of_successes else counts.total - counts.succeeded
        if place + size <= skip:
            place += size
            continue
        number = 0
        while (part := await result_parts.load_next(connection, entry_id, number)) is not None:
            number, batch = part
            for index, result in enumerate(batch.results, batch.first):
                if (result.state == "succeeded") is not of_successes:
                    continue
                place += 1
                if place <= skip:
                    continue
                row = result.as_json(index)
                if length == _PAGE or not budget.take(row):
                    return
                length += 1
                yield row

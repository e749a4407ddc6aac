"""How many records a whole result has: asked beside its first page, so that it costs a request and no time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec import structs

from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.soql import RowQuery
from orgserver.services.calls.access import OrgSession
from orgserver.services.queries import paging
from orgserver.services.queries.paging import Piece, Source
from orgserver.services.results.cursors import Position

WAIT_SECONDS = 10.0
"""How long the first page waits for its number."""
_ANSWER_SECONDS = 1.0
"""Left of a call's time when it no longer waits."""
_GROUPS = "count was left out: with GROUP BY, Salesforce counts groups and not records"
logger = logging.getLogger("orgserver.calls")


async def with_total(
    session: OrgSession, source: Source, read: Callable[[], Awaitable[Piece]], *, limit: int, position: Position
) -> Piece:
    """Read a piece of a result, and have the whole result counted meanwhile.

    Where the piece itself tells the number, nothing more is asked. A count that fails is a warning.
    """
    rows = source.rows
    if rows is None or not position.begins or (rows.limit is not None and rows.limit <= limit):
        piece = await read()
        return _with_warning(piece, _GROUPS) if source.grouped else piece
    trace = Trace()  # of its own: two requests at once would write over each other's
    counter = asyncio.create_task(_count(structs.replace(session, trace=trace), source, rows))
    try:
        piece = await read()
        return piece if piece.total_size is not None else await _with_total(piece, rows, counter, session.deadline)
    finally:
        counter.cancel()
        await asyncio.wait({counter})
        session.trace.api_calls += trace.api_calls
        session.trace.attempts += trace.attempts


async def _count(session: OrgSession, source: Source, rows: RowQuery) -> int | str:
    try:
        return await paging.count(session, source, rows)
    except Exception:  # the page that it stands beside is whole without it
        logger.exception("a count failed in a way that is not foreseen")
        return "INTERNAL"


async def _with_total(piece: Piece, rows: RowQuery, counter: asyncio.Task[int | str], deadline: float) -> Piece:
    seconds = deadline - asyncio.get_running_loop().time() - _ANSWER_SECONDS
    await asyncio.wait({counter}, timeout=max(min(seconds, WAIT_SECONDS), 0.0))
    row_count = counter.result() if counter.done() else "TIMEOUT"
    if isinstance(row_count, int):
        return structs.replace(piece, total_size=rows.total(row_count))
    return _with_warning(piece, f"the records could not be counted ({row_count}), so total_size is left out")


def _with_warning(piece: Piece, warning: str) -> Piece:
    return structs.replace(piece, warnings=(*piece.warnings, warning))

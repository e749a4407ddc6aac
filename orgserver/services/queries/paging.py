"""How a result of any length is handed out in pieces: by records, by bytes, and by a position that goes on.

The first piece of a query of rows asks for no more rows than are shown, and one, which tells that there are more. What
follows runs the query itself and skips what was shown: a result that Salesforce keeps open (``nextRecordsUrl``) leads
to its end, however far that is, where OFFSET leads to 2,000.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from msgspec.structs import replace

from orgserver.model.errors import CallError, Rejected
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import rest as protocol
from orgserver.salesforce.protocol.messages import Reply, Request, clean_rows, remove_attributes
from orgserver.salesforce.soql import RowQuery
from orgserver.services.calls.access import OrgSession
from orgserver.services.queries.row_quota import RowQuota
from orgserver.services.results.cursors import BEGINNING, Position
from orgserver.services.results.record_list import GROWTH, RecordList
from orgserver.services.results.result_size import without_nulls

_SMALLEST_BATCH, _LARGEST_BATCH = 200, 2_000
_OFFSET_CUTS = (
    "Salesforce gives no more than the first batch of a query with OFFSET, so that rows may be missing beyond these: "
    "leave OFFSET out and go on by cursor, or filter by what was read last"
)
_ADDITIONS = re.compile(r"\bsort|\border(?:ed|ing)? by\b|\blimit\b", re.IGNORECASE)
"""Words of a refusal that names no place, where it is about what was added to a query."""


class Source(msgspec.Struct, frozen=True):
    """A query and how it is read."""

    text: str
    """As it was written."""
    rows: RowQuery | None = None
    """The same in a total order; None where it runs as it was written."""
    grouped: bool = False
    """Whether its rows are groups."""
    include_deleted: bool = False
    is_ours: bool = False
    """Whether it was built here, so that nobody has written it in another way."""
    shape: Callable[[FieldValues], FieldValues] | None = None
    """None where records are told as they came."""
    added: int = 0
    """How many bytes a record may take more in its shape."""


class Piece(msgspec.Struct, frozen=True):
    """Some records, and where the rest begins."""

    records: list[FieldValues]
    total_size: int | None
    """How many records the whole result has; None where that is not certain."""
    rest: Position | None
    warnings: tuple[str, ...] = ()
    is_done: bool = True
    """Whether Salesforce has said that nothing follows what it sent."""
    is_limited: bool = False
    """Whether there is more, which the org's policy does not let out."""
    is_flat: bool = False
    """Whether it is known that nothing is inside of any record."""


async def fetch(session: OrgSession, source: Source, *, limit: int, position: Position) -> Piece:
    """Read on from a position until the limit, the size, the end, or the last row that the policy lets out."""
    quota = RowQuota.at(session.policy.row_limit, position)
    left = quota.left
    if left == 0 and not position.begins:  # it was lowered since
        return Piece([], None, None, (quota.warning,), is_limited=True)
    rows = quota.cut_query(source.rows)
    cut = source if rows is source.rows else replace(source, rows=rows)
    piece = await _fetch(session, cut, min(limit, left), position)
    if rows is not source.rows and piece.total_size is not None and piece.total_size > quota.row_limit:
        piece = replace(piece, total_size=None)  # as many as were asked for, and nobody knows how many more
    if piece.rest is None and not quota.is_limited:
        return piece
    records, row_count, is_cut = quota.take(piece.records, is_flat=piece.is_flat)
    if is_cut or (row_count == left and piece.rest is not None):
        warnings = (*piece.warnings, quota.warning)
        return replace(piece, records=records, rest=None, warnings=warnings, is_limited=True)
    if piece.rest is None:
        return piece
    return replace(piece, rest=replace(piece.rest, row_count=quota.before + row_count))


def _fetch(session: OrgSession, source: Source, limit: int, position: Position) -> Awaitable[Piece]:
    reading = _Reading(session, source, limit)
    if source.rows is None or (position.shown is None and not position.begins):
        return reading.run(source.text, position, max(limit, _SMALLEST_BATCH))
    if position.begins:
        return reading.first(source.rows)
    return reading.rest(source.rows, position, position.shown or 0)


class _Reading(msgspec.Struct, frozen=True):
    """One piece on its way."""

    session: OrgSession
    source: Source
    limit: int

    async def first(self, rows: RowQuery) -> Piece:
        """The first piece. Of objects that cannot be ordered by Id, it is that of the query as it was written."""
        try:
            piece = await self._run_again(rows.first(self.limit + 1), BEGINNING, BEGINNING, self.limit + 1)
        except Rejected as error:
            if self.source.is_ours or not _blames_additions(error, rows):
                raise
            return await self.run(self.source.text, BEGINNING, max(self.limit, _SMALLEST_BATCH))
        if piece.rest is None:
            return await self._check_offset(piece, rows, self.limit + 1)
        shown = len(piece.records)
        return Piece(
            piece.records, None, Position(None, shown, shown), piece.warnings, piece.is_done, is_flat=piece.is_flat
        )

    async def rest(self, rows: RowQuery, position: Position, shown: int) -> Piece:
        """A later piece."""
        batch = _LARGEST_BATCH if rows.tail else 2 * self.limit
        piece = await self._run_again(rows.whole, position, Position(None, shown), batch)
        if piece.rest is not None:
            piece = replace(piece, rest=replace(piece.rest, shown=shown + len(piece.records)))
        return await self._check_offset(piece, rows)

    async def _run_again(self, soql: str, position: Position, beginning: Position, batch: int) -> Piece:
        """Read a result in a total order; one that Salesforce no longer keeps is begun again."""
        try:
            return await self.run(soql, position, batch)
        except Rejected as error:
            if error.code != "INVALID_QUERY_LOCATOR":
                raise
            return await self.run(soql, beginning, _LARGEST_BATCH)

    async def _check_offset(self, piece: Piece, rows: RowQuery, most: int | None = None) -> Piece:
        """With OFFSET, Salesforce calls a result done that it has cut short; a count tells whether it has.

        Seen at 200 and at 2,000 rows (developerforce/Force.com-JavaScript-REST-Toolkit#91; SOQL and SOSL Reference,
        ``sforce_api_calls_soql_select_offset``).
        """
        total_size, limits = piece.total_size or 0, [each for each in (most, rows.limit) if each is not None]
        if not rows.tail or not piece.is_done or total_size < _SMALLEST_BATCH or (limits and total_size >= min(limits)):
            return piece
        row_count = await count(self.session, self.source, rows)
        total = rows.total(row_count) if isinstance(row_count, int) else None
        cut = (_OFFSET_CUTS,) if piece.rest is None and total != total_size else ()
        return replace(piece, total_size=total, warnings=(*piece.warnings, *cut))

    async def run(self, soql: str, position: Position, batch: int) -> Piece:
        """Read a result from a position on; ``batch`` is how many rows a page of it should have."""
        records = RecordList()
        take = partial(_take_records, records, self.source, self.limit)
        while True:
            request = self._request(soql, position, batch)
            page = await self.session.call(request, partial(take, position))
            if page.rest is None or page.full or len(records.records) == self.limit:
                return Piece(
                    records.records,
                    page.total_size,
                    page.rest,
                    records.warnings,
                    page.is_done,
                    is_flat=records.is_flat,
                )
            position = page.rest

    def _request(self, soql: str, position: Position, batch: int) -> Request:
        if position.path is not None:
            return protocol.next_page(position.path)
        batch = min(max(batch, _SMALLEST_BATCH), _LARGEST_BATCH)
        return protocol.query(self.session.org.api_version, soql, batch, self.source.include_deleted)


async def count(session: OrgSession, source: Source, rows: RowQuery) -> int | str:
    """How many records a query's conditions let through, or the code of what went wrong."""
    request = protocol.query(session.org.api_version, rows.count, _SMALLEST_BATCH, source.include_deleted)
    try:
        return await session.call(request, lambda reply: protocol.read_page(reply).total_size)
    except CallError as error:
        return error.code


def _blames_additions(error: Rejected, rows: RowQuery) -> bool:
    """Tell whether Salesforce may take the query as it was written; what names a place in it is refused either way."""
    if error.category != "invalid_argument" or error.code == "INVALID_QUERY_LOCATOR":
        return False
    message = str(error)
    by_place = rows.is_to_blame(message)
    if by_place is not None:
        return by_place
    return error.code == "MALFORMED_QUERY" or "UNSUPPORTED" in error.code or _ADDITIONS.search(message) is not None


class _PageRest(msgspec.Struct, frozen=True):
    """What was left of a page when some of its records were taken."""

    total_size: int
    rest: Position | None
    full: bool
    """Whether it has records that found no room."""
    is_done: bool
    """Whether it is the last page of the result."""


def _take_records(records: RecordList, source: Source, limit: int, position: Position, reply: Reply) -> _PageRest:
    """Take records of a page from a position on. It is done where pages are read, for they may be large.

    Those that are not shown are only counted.
    """
    page = protocol.read_page(reply)
    rows, shape = page.rows, source.shape
    most = min(len(rows), position.skip + limit - len(records.records))
    shown, most_bytes = rows[position.skip : most], GROWTH * reply.size + source.added * len(rows)
    if reply.size and records.has_room(most_bytes):
        is_flat = clean_rows(shown)
        if shape is not None:
            shown, is_flat = list(map(shape, shown)), is_flat and shape is without_nulls
        records.add_all(shown, most_bytes, is_flat=is_flat)
    else:
        for place, row in enumerate(shown, position.skip):
            record = remove_attributes(row)
            if not records.add(record if shape is None else shape(record)):
                return _full_page(page, position, place)
    if position.skip <= most < len(rows):
        return _full_page(page, position, most)
    skip = max(position.skip - len(rows), 0)  # what is skipped may go on in the next page
    following = Position(page.next_path, skip) if page.next_path is not None else None
    return _PageRest(page.total_size, following, full=False, is_done=following is None)


def _full_page(page: protocol.QueryPage, position: Position, place: int) -> _PageRest:
    """What is left of a page from a place on."""
    return _PageRest(page.total_size, Position(position.path, place), full=True, is_done=page.next_path is None)

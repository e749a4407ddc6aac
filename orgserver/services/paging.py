"""How a result of any length is handed out in pieces: by records, by bytes, and by a position that goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from orgserver.model.results import FieldValues
from orgserver.salesforce import protocol
from orgserver.salesforce.protocol import Reply
from orgserver.services import cutting, shapes
from orgserver.services.access import Connection
from orgserver.services.cursors import Position

_SMALLEST_BATCH, _LARGEST_BATCH = 200, 2_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records, how many there are in all, and where the rest begins."""

    records: list[FieldValues]
    total_size: int
    rest: Position | None
    warnings: tuple[str, ...] = ()


async def fetch(
    connection: Connection,
    soql: str,
    *,
    limit: int,
    position: Position,
    include_deleted: bool = False,
    shape: Callable[[FieldValues], FieldValues] = lambda record: record,
) -> Piece:
    """Read on from a position until the limit, the size or the end is reached."""
    shelf = _Shelf(limit, shape)
    while True:
        request = _request(connection, soql, limit, position, include_deleted)
        page = await connection.call(request, partial(shelf.take, position))
        if page.rest is None or page.full or len(shelf.records) == limit:
            return Piece(shelf.records, page.total_size, page.rest, shelf.warnings)
        position = page.rest


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was left of a page when some of its records were taken."""

    total_size: int
    rest: Position | None
    full: bool
    """Whether it has records that found no room."""


class _Shelf:
    """The records of a result, as many as it holds. Pages are taken in where they are read: they may be large."""

    def __init__(self, limit: int, shape: Callable[[FieldValues], FieldValues]) -> None:
        self.records: list[FieldValues] = []
        self.warnings: tuple[str, ...] = ()
        self._limit = limit
        self._shape = shape
        self._room = shapes.MAX_BYTES - shapes.FRAME_BYTES

    def take(self, position: Position, reply: Reply) -> _Taken:
        """Take records of a page from a position on; the first of all is cut if it does not fit."""
        page = protocol.read_page(reply)
        for taken, each in enumerate(page.records[position.skip :]):
            if len(self.records) == self._limit or not self._put(self._shape(each)):
                return _Taken(page.total_size, Position(position.path, position.skip + taken), full=True)
        following = Position(page.next_path) if page.next_path is not None else None
        return _Taken(page.total_size, following, full=False)

    def _put(self, record: FieldValues) -> bool:
        size = cutting.within(record, self._room)
        if size is None:
            if self.records:
                return False
            told = shapes.bounded(record)
            record, self.warnings, size = told.values, told.warnings, self._room
        self._room -= size
        self.records.append(record)
        return True


def _request(
    connection: Connection, soql: str, limit: int, position: Position, include_deleted: bool
) -> protocol.Request:
    if position.path is not None:
        return protocol.more(position.path)
    batch = min(max(limit, _SMALLEST_BATCH), _LARGEST_BATCH)
    return protocol.query(connection.org.api_version, soql, batch, include_deleted)

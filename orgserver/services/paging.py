"""How a result of any length is handed out in pieces: by records, by bytes, and by a position that goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orgserver.model.results import FieldValues
from orgserver.salesforce import protocol
from orgserver.services import shapes
from orgserver.services.access import Connection
from orgserver.services.cursors import Position

_SMALLEST_BATCH, _LARGEST_BATCH = 200, 2_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records, how many there are in all, and where the rest begins."""

    records: list[FieldValues]
    total_size: int
    rest: Position | None


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
    records: list[FieldValues] = []
    room = shapes.MAX_BYTES - shapes.FRAME_BYTES
    while True:
        page = await connection.call(_request(connection, soql, limit, position, include_deleted), protocol.read_page)
        for taken, record in enumerate(map(shape, page.records[position.skip :])):
            room -= shapes.size(record)
            if len(records) == limit or (room < 0 and records):
                return Piece(records, page.total_size, Position(position.path, position.skip + taken))
            records.append(record)
        if page.next_path is None:
            return Piece(records, page.total_size, None)
        position = Position(page.next_path)
        if len(records) == limit:
            return Piece(records, page.total_size, position)


def _request(
    connection: Connection, soql: str, limit: int, position: Position, include_deleted: bool
) -> protocol.Request:
    if position.path is not None:
        return protocol.more(position.path)
    batch = min(max(limit, _SMALLEST_BATCH), _LARGEST_BATCH)
    return protocol.query(connection.org.api_version, soql, batch, include_deleted)

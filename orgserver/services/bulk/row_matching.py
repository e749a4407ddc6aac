"""Which record does a row of a bulk job's results speak of? Salesforce keeps no order, but repeats our columns.

Updates and deletes are told apart by the Id that we sent. Creates and upserts are told apart by their whole row; among
rows that are equal in every column the first result goes to the first, which changes nothing but their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orgserver.model import names
from orgserver.salesforce.protocol.bulk_csv import Sheet


class RowMatcher:
    """The rows of one sheet, each to be found once."""

    def __init__(self, columns: Sequence[str], sheet: Sheet, *, by_id: bool) -> None:
        self._columns = tuple(name.lower() for name in columns)
        self._by_id = by_id
        self._places: dict[object, int | list[int]] = {}
        for place in range(len(sheet.rows) - 1, -1, -1):  # so that the first is at the end of its list
            key = self._key(sheet.rows[place])
            there = self._places.get(key)
            if there is None:
                self._places[key] = place
            elif isinstance(there, list):
                there.append(place)
            else:
                self._places[key] = [there, place]

    def place(self, row: dict[str, str]) -> int | None:
        """The place in the sheet of the row that a result repeats; None if it repeats none that is left."""
        cells = [row.get(name, "") for name in self._columns]
        key = self._key(cells)
        there = self._places.get(key)
        if isinstance(there, list):
            place = there.pop()
            if not there:
                del self._places[key]
            return place
        return self._places.pop(key, None)  # type: ignore[return-value]  # no list: that was looked at

    def _key(self, cells: Sequence[str]) -> object:
        if self._by_id:
            return names.to_18(cells[0])
        return hash(tuple(_plain(cells)))


def _plain(cells: Iterable[str]) -> Iterable[str]:
    """What survives every way of repeating a cell."""
    return (cell.replace("\r\n", "\n").strip() for cell in cells)

"""The records of a result: as many as fit, the first of them cut if it does not fit by itself."""

from __future__ import annotations

from collections.abc import Iterable

from orgserver.model.results import FieldValues
from orgserver.services.results import result_size
from orgserver.services.results.byte_budget import ByteBudget

GROWTH = 4
"""A record takes at most so many times the bytes of the JSON that it came in: ``1e15`` is written out as
``1000000000000000.0``, and everything else takes as many bytes or fewer."""


class RecordList:
    """Records that fit in one result together."""

    def __init__(self) -> None:
        self.records: list[FieldValues] = []
        self.warnings: tuple[str, ...] = ()
        self.is_flat = True
        """Whether it is known that nothing is inside of any of them."""
        self._budget = ByteBudget()
        self._unmeasured: list[FieldValues] = []
        self._most = 0
        """Bytes that the unmeasured ones take at most."""

    def has_room(self, most: int) -> bool:
        """Whether records fit for certain that take so many bytes at most together.

        Of those that are few and short it is, without writing each of them out.
        """
        return self._budget.has(self._most + most)

    def add_all(self, records: Iterable[FieldValues], most: int, *, is_flat: bool = False) -> bool:
        """Add records that take so many bytes at most together; False, and none is added, if they may not fit."""
        if not self.has_room(most):
            return False
        new = list(records)
        self.records += new
        self._unmeasured += new
        self._most += most
        self.is_flat = self.is_flat and is_flat
        return True

    def add(self, record: FieldValues) -> bool:
        """Add a record; False if there is no room for it."""
        self._measure()
        self.is_flat = False
        if not self._budget.take(record):
            if self.records:
                return False
            first = result_size.bound_record(record)
            record, self.warnings = first.values, first.warnings
            self._budget.use_up()
        self.records.append(record)
        return True

    def _measure(self) -> None:
        for record in self._unmeasured:
            self._budget.take(record)
        self._unmeasured, self._most = [], 0

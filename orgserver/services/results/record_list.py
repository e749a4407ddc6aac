"""The records of a result: as many as fit, the first of them cut if it does not fit by itself."""

from __future__ import annotations

from orgserver.model.results import FieldValues
from orgserver.services.results import result_size
from orgserver.services.results.byte_budget import ByteBudget


class RecordList:
    """Records that fit in one result together."""

    def __init__(self) -> None:
        self.records: list[FieldValues] = []
        self.warnings: tuple[str, ...] = ()
        self._budget = ByteBudget()

    def add(self, record: FieldValues) -> bool:
        """Add a record; False if there is no room for it."""
        if not self._budget.take(record):
            if self.records:
                return False
            first = result_size.bound_record(record)
            record, self.warnings = first.values, first.warnings
            self._budget.use_up()
        self.records.append(record)
        return True

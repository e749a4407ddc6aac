"""Records to write after the checks that need no org, and whether their org's describe or events must be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orgserver.model.names import EVENT, SObjectName
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import standard_fields
from orgserver.services.records import event_times, value_shapes
from orgserver.services.records.value_checks import WriteAction

Place = Callable[[int], str]
"""Where a record stands among the arguments."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Records of one object, to be written in one way."""

    sobject: SObjectName
    action: WriteAction
    records: Sequence[FieldValues]
    place: Place = lambda _index: "data"
    key: str = "Id"
    """The field by which a record is found that is there already."""

    @property
    def is_ready(self) -> bool:
        """Whether nothing must be asked of the org."""
        return not (self.needs_types or self.needs_events)

    @property
    def needs_types(self) -> bool:
        """Whether some value's meaning depends on its field's type, which not every org tells."""
        return any(self._needs_type(name, value) for each in self.records for name, value in each.items())

    def _needs_type(self, name: str, value: Any) -> bool:
        if value is None or isinstance(value, bool) or name == self.key:
            return value is None and name.lower().endswith("__r")  # a relationship: its lookup is to be empty
        field = standard_fields.field(self.sobject, name)
        if field is not None:
            return field.type in value_shapes.PICKLISTS
        return isinstance(value, str | list | dict) or value in (0, 1)

    @property
    def needs_events(self) -> bool:
        """Whether some event must be read to know whether its times are days."""
        return self.sobject == EVENT and any(event_times.depends_on_event(each, self.action) for each in self.records)

    def without_key(self, record: FieldValues) -> FieldValues:
        """What is written of a record that is found by its key; of a new one all of it."""
        return record if self.action == "create" else {name: each for name, each in record.items() if name != self.key}

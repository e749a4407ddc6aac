"""A draft: records to write as they were given, and whether the org must be asked before they can be sent.

A parent is named by its id or by an external id of its, ``{"Contact__r": {"Ext__c": "x"}}``. In JSON the value stands
under the relationship's name, with the parent's type where there may be several (REST guide, "Relate Records by
External ID"). In a sheet of a bulk job it is a column, ``Contact__r.Ext__c`` or ``Contact:Who.Email`` (Bulk API 2.0
guide, "Relationship Fields in a Header Row").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from msgspec import structs

from orgserver.model import names
from orgserver.model.names import EVENT, SObjectName
from orgserver.model.results import FieldValues
from orgserver.model.schema import FieldInfo
from orgserver.model.text import is_blank
from orgserver.salesforce.protocol.standard_fields import STANDARD_FIELDS
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.records import event_times
from orgserver.services.records.value_shapes import PICKLISTS

T = TypeVar("T")
WriteAction = Literal["create", "update", "upsert"]
_SHAPE = 'names a parent by one external id of its, such as {"Ext__c": "x"}'
MAX_KEY = 255
Place = Callable[[int], str]
"""Where a record stands among the arguments."""
Values = tuple[FieldValues, FieldValues]
"""A record's values as they are sent, and by the record's own fields."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Records of one object, to be written in one way."""

    sobject: SObjectName
    action: WriteAction
    records: Sequence[FieldValues]
    place: Place = lambda _index: "data"
    key: str = "Id"
    """The field by which a record is found that is there already."""

    def plan(
        self,
        make: Callable[[FieldValues, FieldValues], Plan[T]],
        prepare: Callable[[OrgSession, Draft], Awaitable[Values]],
    ) -> Plan[T]:
        """Plan to write one record: ``make`` takes its values, which ``prepare`` has from the org if need be."""
        (record,) = self.records
        plan = make(*self.values(record))
        if self.is_ready:
            return plan

        async def prepare_plan(session: OrgSession) -> Plan[T]:
            return make(*await prepare(session, self))

        return structs.replace(plan, prepare=prepare_plan)

    def values(self, record: FieldValues) -> Values:
        """What is written of a record: of one that is found by its key, all but that."""
        return self._without_key(record), self._without_key(by_lookup_field(record))

    def _without_key(self, record: FieldValues) -> FieldValues:
        return record if self.action == "create" else {name: each for name, each in record.items() if name != self.key}

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
        field = STANDARD_FIELDS.get(self.sobject, {}).get(name.lower())
        if field is not None:
            return field.type in PICKLISTS
        return isinstance(value, str | list | dict) or value in (0, 1)

    @property
    def needs_events(self) -> bool:
        """Whether some event must be read to know whether its times are days."""
        return self.sobject == EVENT and any(event_times.depends_on_event(each, self.action) for each in self.records)


class Parent(dict[str, Any]):
    """A parent by its key, as JSON has it; beside that its lookup field, and its column in a sheet."""

    def __init__(self, reference: FieldInfo, target: str, key: str, value: Any) -> None:
        several = len(reference.reference_to) > 1
        super().__init__(({"attributes": {"type": target}} if several else {}) | {key: value})
        self.field = reference.name
        self.target = target
        self.key = key
        self.value = value
        self.column = f"{target}:{reference.relationship}.{key}" if several else f"{reference.relationship}.{key}"


def read_parent_key(value: Mapping[str, Any]) -> tuple[str | None, str, Any]:
    """The type (if it is said), the field and the value of a key; ValueError where it is none."""
    attributes = value.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, Mapping) else value.get("type")
    keys = [(name, each) for name, each in value.items() if name not in ("attributes", "type")]
    if len(keys) != 1 or not (kind is None or (isinstance(kind, str) and names.is_field(kind))):
        raise ValueError(_SHAPE)
    key, external_id = keys[0]
    if not names.is_field(key) or isinstance(external_id, bool) or not isinstance(external_id, str | int | float):
        raise ValueError(_SHAPE)
    if is_blank(str(external_id)) or len(str(external_id)) > MAX_KEY:
        raise ValueError(f"has an external id that is blank or longer than {MAX_KEY} characters")
    return kind, key, external_id


def field_paths(*records: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields that are written, each once, of a parent's key by its path."""
    return tuple(dict.fromkeys(_path(name, value) for each in records for name, value in each.items()))


def by_lookup_field(values: Mapping[str, Any]) -> FieldValues:
    """The values by the record's own fields: a parent under its lookup field."""
    return {value.field if isinstance(value, Parent) else name: value for name, value in values.items()}


def by_column(records: Iterable[Mapping[str, Any]]) -> Iterator[FieldValues]:
    """The values of each record by the columns of a sheet."""
    for record in records:
        yield dict(
            (value.column, value.value) if isinstance(value, Parent) else (name, value)
            for name, value in record.items()
        )


def _path(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return name
    try:
        return f"{name}.{read_parent_key(value)[1]}"
    except ValueError:
        return name

"""Records converted to what Salesforce takes, by the describe of their object: values, and parents by their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orgserver.model import names
from orgserver.model.names import EVENT
from orgserver.model.results import FieldValues
from orgserver.model.schema import FieldInfo, Schema
from orgserver.services.calls.preflight import Problem, missing_field, missing_relationship
from orgserver.services.records import event_times, field_values, value_shapes
from orgserver.services.records.draft import Draft, Parent, by_lookup_field, read_parent_key
from orgserver.services.records.field_values import WrongValue

MOST_TYPES = 4
"""Of so many kinds of parents the right one is found by its key; where there are more, it is named."""
MAX_TYPES = 20
"""Kinds of parents that one call may name by their keys."""
Lookup = Callable[[str], Schema | None]


def parent_types(records: Sequence[FieldValues], schema: Schema) -> list[str]:
    """The objects that the records' parents may be of."""
    types: dict[str, None] = {}
    for record in records:
        for name, value in record.items():
            reference = schema.reference(name) if isinstance(value, dict) else None
            if reference is None or schema.field(name) is not None:
                continue
            try:
                types.update(dict.fromkeys(target_types(reference, value)))
            except ValueError:
                continue  # the conversion says it
    return list(types)[:MAX_TYPES]


class Conversion:
    """Converts the records of a draft, and collects what is wrong with them."""

    def __init__(self, draft: Draft, schema: Schema, parent_schemas: Mapping[str, Schema | None]) -> None:
        self._draft = draft
        self._schema = schema
        self._parent_schemas = parent_schemas
        self._problems: list[Problem] = []
        self._texts: dict[tuple[str, str], Any] = {}
        """What texts were converted to: the values of picklists repeat."""

    def run(self) -> tuple[list[FieldValues], list[Problem]]:
        """The records, and the problems."""
        draft = self._draft
        records = [self._convert_record(each, draft.place(index)) for index, each in enumerate(draft.records)]
        return records, self._problems

    def _convert_record(self, record: FieldValues, place: str) -> FieldValues:
        ready: FieldValues = {}
        for name, value in record.items():
            field, reference = self._schema.field(name), self._schema.reference(name)
            where = f"{place}.{name}"
            if name == self._draft.key:
                ready[name] = value
            elif field is not None:
                ready[name] = self._convert_value(field, value, where)
            elif reference is not None and (value is None or isinstance(value, dict)):
                self._convert_parent(reference, name, value, where, ready)
            elif isinstance(value, dict):
                self._problems.append(missing_relationship(self._schema, name, where))
            elif isinstance(value, list):
                self._problems.append(missing_field(self._schema, name, where))
            else:
                ready[name] = value  # Salesforce says it, with the nearest names in the hint
        return ready

    def _convert_value(self, field: FieldInfo, value: Any, where: str) -> Any:
        if self._draft.sobject == EVENT and event_times.is_time(field.name):
            return value  # read by the rules of events, later
        key = (field.name, value) if isinstance(value, str) else None
        if key is not None and key in self._texts:
            return self._texts[key]
        try:
            plain = field_values.convert_value(field, value)
        except WrongValue as error:
            self._problems.append(Problem(error.code, f"{field.name} {error}", where))
            return value
        if key is not None:
            self._texts[key] = plain
        return plain

    def _convert_parent(self, reference: FieldInfo, name: str, value: Any, where: str, ready: FieldValues) -> None:
        if not field_values.is_writable(reference, self._draft.action):
            self._add_parent_problem(f"{name} cannot be set by a {self._draft.action}", where)
            return
        if any(each.lower() == reference.name.lower() for each in by_lookup_field(ready)):
            self._add_parent_problem(f"{name} names the same parent as {reference.name}", where)
            return
        try:
            parent = None if value is None else resolve_parent(reference, value, self._parent_schemas.get)
        except ValueError as error:
            self._add_parent_problem(f"{name} {error}", where)
            return
        if isinstance(parent, Parent):
            ready[str(reference.relationship)] = parent
        else:
            ready[reference.name] = parent

    def _add_parent_problem(self, text: str, where: str) -> None:
        self._problems.append(Problem("INVALID_FIELD", text, where))


def target_types(reference: FieldInfo, value: Mapping[str, Any]) -> tuple[str, ...]:
    """The objects that a parent may be of; ValueError where it must say which."""
    kind, _, _ = read_parent_key(value)
    if kind is not None:
        types = [each for each in reference.reference_to if each.lower() == kind.lower()]
        if not types:
            raise ValueError(f"cannot be a {kind}; {_either(reference)}")
        return tuple(types)
    if len(reference.reference_to) > MOST_TYPES:
        raise ValueError('may be of many objects: say which, as in {"type": "Account", "Ext__c": "x"}')
    return reference.reference_to


def resolve_parent(reference: FieldInfo, value: Mapping[str, Any], lookup: Lookup) -> Parent | str:
    """The parent, or its id where that was given; ValueError says what is wrong."""
    _, key, external_id = read_parent_key(value)
    if key.lower() == "id":
        return str(names.record_id(str(external_id)))
    schemas = [schema for each in target_types(reference, value) if (schema := lookup(each)) is not None]
    fitting = [(schema, field) for schema in schemas if (field := schema.field(key)) is not None and field.is_key]
    if len(fitting) > 1:
        raise ValueError(f'may be a {" or a ".join(schema.name for schema, _ in fitting)}: add "type"')
    if not fitting:
        keys = [
            f"{schema.name}.{field.name}" for schema in schemas for field in schema.fields if _is_external_id(field)
        ]
        some = f"; these are: {', '.join(keys[: MOST_TYPES * 2])}" if keys else ""
        raise ValueError(f"is not named by an external id of {_names(schemas) or _either(reference)}{some}")
    schema, field = fitting[0]
    return Parent(reference, schema.name, field.name, value_shapes.convert(field, external_id))


def _is_external_id(field: FieldInfo) -> bool:
    return field.is_key and field.name != "Id"


def _names(schemas: list[Schema]) -> str:
    return " or ".join(schema.name for schema in schemas)


def _either(reference: FieldInfo) -> str:
    some = ", ".join(reference.reference_to[: MOST_TYPES * 2])
    return some + (", …" if len(reference.reference_to) > MOST_TYPES * 2 else "")

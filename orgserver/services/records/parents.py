"""Parents that are named by an external id of theirs, ``{"Contact__r": {"Ext__c": "x"}}``, in place of the id.

In JSON the value stands under the relationship's name, with the parent's type where there may be several (REST guide,
"Relate Records by External ID"). In a sheet of a bulk job it is a column, ``Contact__r.Ext__c`` or
``Contact:Who.Email`` (Bulk API 2.0 guide, "Relationship Fields in a Header Row").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orgserver.model import names
from orgserver.model.results import FieldValues
from orgserver.model.schema import FieldInfo, Schema
from orgserver.model.text import is_blank
from orgserver.services.records import value_shapes

MOST_TYPES = 4
"""Of so many kinds of parents the right one is found by its key; where there are more, it is named."""
_SHAPE = 'names a parent by one external id of its, such as {"Ext__c": "x"}'
MAX_KEY = 255
Lookup = Callable[[str], Schema | None]


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


def read_key(value: Mapping[str, Any]) -> tuple[str | None, str, Any]:
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


def target_types(reference: FieldInfo, value: Mapping[str, Any]) -> tuple[str, ...]:
    """The objects that a parent may be of; ValueError where it must say which."""
    kind, _, _ = read_key(value)
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
    _, key, external_id = read_key(value)
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


def field_paths(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields that are written, of a parent's key by its path."""
    return tuple(_path(name, value) for name, value in values.items())


def by_lookup_field(values: Mapping[str, Any]) -> FieldValues:
    """The values by the record's own fields: a parent under its lookup field."""
    return {value.field if isinstance(value, Parent) else name: value for name, value in values.items()}


def by_column(values: Mapping[str, Any]) -> FieldValues:
    """The values by the columns of a sheet."""
    flat = (
        (value.column, value.value) if isinstance(value, Parent) else (name, value) for name, value in values.items()
    )
    return dict(flat)


def _path(name: str, value: Any) -> str:
    if not isinstance(value, dict):
        return name
    try:
        return f"{name}.{read_key(value)[1]}"
    except ValueError:
        return name


def _is_external_id(field: FieldInfo) -> bool:
    return field.is_key and field.name != "Id"


def _names(schemas: list[Schema]) -> str:
    return " or ".join(schema.name for schema in schemas)


def _either(reference: FieldInfo) -> str:
    some = ", ".join(reference.reference_to[: MOST_TYPES * 2])
    return some + (", …" if len(reference.reference_to) > MOST_TYPES * 2 else "")

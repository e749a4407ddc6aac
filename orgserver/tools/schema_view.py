"""How a schema looks to an agent: a line's worth a field, a few in full, or everything; bounded, and saying so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from pydantic_core import to_json

from orgserver.model.schema import FieldInfo, ObjectInfo, Schema, spaced

MAX_BYTES = 36 * 1024
"""A description ends here; what is left out is named, and can be asked for by name …"""
_NAMES_BYTES = 20 * 1024
"""… in so many bytes."""
_FIELD_BYTES = 24 * 1024
"""Picklist values of one field in full end here."""
_SOME_VALUES, _MORE_VALUES, _ALL_VALUES = 8, 100, 1_000
_VALUE_BYTES = 200
"""Picklist values of one field in the compact form end here."""
_SOME_TARGETS = 5
_SIZED = frozenset({"double", "currency", "percent"})
_UNSIZED = frozenset({"id", "reference", "picklist", "multipicklist", "boolean", "date", "datetime", "time"})


def compact(schema: Schema) -> dict[str, Any]:
    """Every field in few words: what is usual (writable, sortable, may be empty) is not said."""
    return _bounded(_object(schema), schema.fields, _short)


def chosen(schema: Schema, names: Iterable[str]) -> dict[str, Any]:
    """Some fields with all that is known of them."""
    fields = {field.name: field for name in names if (field := schema.field(name)) is not None}
    return _bounded(_object(schema), list(fields.values()), partial(_long, values=_ALL_VALUES))


def whole(schema: Schema) -> dict[str, Any]:
    """Every field in full, and the child relationships by which subqueries read."""
    children = [f"{child.relationship}: {child.sobject}.{child.field}" for child in schema.children]
    return _bounded(_object(schema), schema.fields, partial(_long, values=_MORE_VALUES), children)


def named(each: ObjectInfo) -> dict[str, Any]:
    """An object in a list of them."""
    view = {"name": each.name} | _label(each.name, each.label)
    return view if each.queryable else view | {"is": "not queryable"}


def _object(schema: Schema) -> dict[str, Any]:
    abilities = (
        ("create", schema.createable),
        ("update", schema.updateable),
        ("delete", schema.deletable),
        ("query", schema.queryable),
        ("search", schema.searchable),
    )
    view = {"object": schema.name} | _label(schema.name, schema.label)
    if schema.prefix:
        view["id_prefix"] = schema.prefix
    return view | {"can": " ".join(name for name, able in abilities if able)}


def _short(field: FieldInfo) -> dict[str, Any]:
    bare = field.label.endswith(" ID") or not field.name.endswith("Id")
    view: dict[str, Any] = {"name": field.name} | _label(field.name if bare else field.name[:-2], field.label)
    view["type"] = _type(field)
    if marks := _marks(field):
        view["is"] = ", ".join(marks)
    if field.reference_to:
        view |= _counted("to", field.reference_to[:_SOME_TARGETS], len(field.reference_to), _VALUE_BYTES)
        if field.relationship and field.relationship != _relationship(field.name):
            view["relationship"] = field.relationship
    if field.picklist:
        view |= _counted(
            "values", [each.value for each in field.picklist[:_SOME_VALUES]], len(field.picklist), _VALUE_BYTES
        )
    return view


def _long(field: FieldInfo, values: int) -> dict[str, Any]:
    view: dict[str, Any] = {"name": field.name, "label": field.label, "type": _type(field)}
    if marks := _marks(field):
        view["is"] = ", ".join(marks)
    if field.reference_to:
        view |= {"to": list(field.reference_to), "relationship": field.relationship}
    for key, text in (("part_of", field.compound), ("controlled_by", field.controller), ("help", field.help)):
        if text:
            view[key] = text
    if field.picklist:
        shown = [_value(each.value, each.label) for each in field.picklist[:values]]
        view |= _counted("values", shown, len(field.picklist), _FIELD_BYTES)
        default = [each.value for each in field.picklist if each.default]
        if default:
            view["default"] = default[0]
    return view


def _type(field: FieldInfo) -> str:
    if field.type in _SIZED and field.precision:
        return f"{field.type}({field.precision},{field.scale})"
    return f"{field.type}({field.length})" if field.length and field.type not in _UNSIZED else field.type


def _marks(field: FieldInfo) -> list[str]:
    """What is not as usual."""
    marks = (
        ("required", field.required),
        ("calculated", field.calculated),
        ("read-only", not field.createable and not field.updateable),
        ("create-only", field.createable and not field.updateable),
        ("update-only", field.updateable and not field.createable),
        ("not filterable", not field.filterable),
        ("not sortable", field.filterable and not field.sortable),
        ("external id", field.external_id),
        ("upsert key", field.id_lookup and not field.external_id and field.type != "id"),
        ("unique", field.unique),
        ("restricted", field.restricted and bool(field.picklist)),
    )
    return [word for word, holds in marks if holds]


def _label(name: str, label: str) -> dict[str, Any]:
    return {"label": label} if label and label.casefold() != spaced(name).casefold() else {}


def _relationship(name: str) -> str:
    return f"{name[:-1]}r" if name.endswith("__c") else name.removesuffix("Id")


def _value(value: str, label: str) -> Any:
    return value if label == value else {"value": value, "label": label}


def _counted(key: str, items: Sequence[Any], total: int, room: int) -> dict[str, Any]:
    """As many items as fit, and how many there are beyond them."""
    items_that_fit = _fitting(items, room)
    return {key: items_that_fit} | ({f"more_{key}": total - len(items_that_fit)} if len(items_that_fit) < total else {})


def _bounded(
    view: dict[str, Any],
    fields: Sequence[FieldInfo],
    tell: Callable[[FieldInfo], dict[str, Any]],
    children: Sequence[str] = (),
) -> dict[str, Any]:
    """As many fields, and then children, as there is room for; the names of the other fields."""
    shown = _fitting(map(tell, fields), MAX_BYTES)
    view = view | {"fields": shown}
    rest = [field.name for field in fields[len(shown) :]]
    if rest:
        names = _fitting(rest, _NAMES_BYTES)
        view["more_fields"] = names
        return view | ({"more_fields_unnamed": len(rest) - len(names)} if len(names) < len(rest) else {})
    return view | (_counted("children", children, len(children), _NAMES_BYTES) if children else {})


def _fitting(items: Iterable[Any], room: int) -> list[Any]:
    items_that_fit: list[Any] = []
    for item in items:
        room -= len(to_json(item)) + 1
        if room < 0:
            break
        items_that_fit.append(item)
    return items_that_fit

"""What ``&columns=true`` tells of a query: its columns in place of its rows.

Salesforce does not document it; the sf command asks for it after every query that found something (plugin-data,
``query.ts``; its ``queryFields.exemplars.ts`` shows answers).
"""

from __future__ import annotations

from typing import Any

from orgserver.salesforce.soql import tree
from orgserver.sandbox.query.rows import Converted, Inner, Part, Shape
from orgserver.sandbox.state.schema import Field, SObject

_NUMBERS = frozenset({"int", "long", "double", "currency", "percent"})
_TEXTS = frozenset({"string", "textarea", "phone", "email", "url", "picklist", "multipicklist", "combobox"})
_APEX_TYPES = {
    "id": "Id",
    "reference": "Id",
    "boolean": "Boolean",
    "int": "Integer",
    "long": "Long",
    "double": "Double",
    "currency": "Decimal",
    "percent": "Decimal",
    "date": "Date",
    "datetime": "Datetime",
    "address": "Address",
}


def described(sobject: SObject, shape: Shape | None) -> dict[str, Any]:
    """The columns of a query of an object; none for COUNT()."""
    return _describe(sobject, [] if shape is None else _columns(shape), grouped=False)


def summed(sobject: SObject, columns: dict[str, tuple[tree.Expression, Field]], *, grouped: bool) -> dict[str, Any]:
    """The columns of a query that sums up."""
    parts = [
        _column(name, field) if isinstance(expression, tree.Path) else _sum(name, expression, field)
        for name, (expression, field) in columns.items()
    ]
    return _describe(sobject, parts, grouped=grouped)


def _describe(sobject: SObject, columns: list[dict[str, Any]], *, grouped: bool) -> dict[str, Any]:
    return {
        "columnMetadata": columns,
        "entityName": sobject.name,
        "groupBy": grouped,
        "idSelected": any(column["columnName"] == "Id" for column in columns),
        "keyPrefix": sobject.prefix,
    }


def _columns(shape: Shape) -> list[dict[str, Any]]:
    return [_of(name, part) for name, part in shape.parts.items()]


def _of(name: str, part: Part) -> dict[str, Any]:
    if isinstance(part, Field):
        return _column(name, part)
    if isinstance(part, Converted):
        return _column(name, part.field) | {"insertable": False, "updatable": False}
    rows = {"joinColumns": _columns(part.shape)}
    if isinstance(part, Inner) and part.link is None:
        return _plain(name) | rows | {"aggregate": True}
    link = part.link
    return _plain(name) | rows | {"foreignKeyName": link.name if link else None}


def _sum(name: str, expression: tree.Expression, field: Field) -> dict[str, Any]:
    """A column of a function; one without a name of its own shows how it is written."""
    label = tree.label(expression)
    return _plain(name) | {"aggregate": True, "displayName": label, "numberType": field.type in _NUMBERS}


def _column(name: str, field: Field) -> dict[str, Any]:
    return _plain(name) | {
        "apexType": _APEX_TYPES.get(field.type, "String"),
        "booleanType": field.type == "boolean",
        "custom": field.name.endswith("__c"),
        "insertable": field.createable,
        "numberType": field.type in _NUMBERS,
        "textType": field.type in _TEXTS,
        "updatable": field.updateable,
    }


def _plain(name: str) -> dict[str, Any]:
    """A column of which nothing but its name is known."""
    return {
        "aggregate": False,
        "apexType": None,
        "booleanType": False,
        "columnName": name,
        "custom": False,
        "displayName": name,
        "foreignKeyName": None,
        "insertable": False,
        "joinColumns": [],
        "numberType": False,
        "textType": False,
        "updatable": False,
    }

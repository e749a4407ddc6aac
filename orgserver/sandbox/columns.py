"""What ``&columns=true`` tells of a query: its columns in place of its rows.

Salesforce does not document it; the sf command asks for it after every query that found something (plugin-data,
``query.ts``).
"""

from __future__ import annotations

from typing import Any

from orgserver.sandbox.paths import Shape
from orgserver.sandbox.schema import Field, SObject

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
    columns = [] if shape is None else _columns(shape)
    return {
        "columnMetadata": columns,
        "entityName": sobject.name,
        "groupBy": False,
        "idSelected": any(column["columnName"] == "Id" for column in columns),
        "keyPrefix": sobject.prefix,
    }


def _columns(shape: Shape) -> list[dict[str, Any]]:
    columns = []
    for name, part in shape.parts.items():
        if isinstance(part, tuple):
            link, behind = part
            columns.append(_column(name, link) | {"foreignKeyName": link.name, "joinColumns": _columns(behind)})
        else:
            columns.append(_column(name, part))
    return columns


def _column(name: str, field: Field) -> dict[str, Any]:
    return {
        "aggregate": False,
        "apexType": _APEX_TYPES.get(field.type, "String"),
        "booleanType": field.type == "boolean",
        "columnName": name,
        "custom": field.name.endswith("__c"),
        "displayName": name,
        "foreignKeyName": None,
        "insertable": field.createable,
        "joinColumns": [],
        "numberType": field.type in _NUMBERS,
        "textType": field.type in _TEXTS,
        "updatable": field.updateable,
    }

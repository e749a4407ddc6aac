"""Which records have a value in a field, for upserts, unique fields and duplicate rules: found without reading all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orgserver.model.names import record_id
from orgserver.sandbox.state.schema import Field, SObject

Record = dict[str, Any]


class Keys:
    """Finds records by the value of a field; texts without regard to case."""

    def __init__(self, tables: Mapping[str, Mapping[str, Record]]) -> None:
        self._tables = tables
        self._indexes: dict[tuple[str, str], dict[Any, list[str]]] = {}

    def find(self, sobject: SObject, field: Field, value: Any) -> list[str]:
        """The ids of the records that have it, oldest first; none for no value."""
        if value is None or value == "":
            return []
        table = self._tables[sobject.name]
        if field.name == "Id":
            identifier = _id(value)
            return [identifier] if identifier in table else []
        index = self._indexes.get((sobject.name, field.name))
        if index is None:
            index = self._indexes[sobject.name, field.name] = {}
            for record in table.values():
                _enter(index, record, field.name)
        key = _key(value)
        # What was deleted or changed since stays entered; so ask the records themselves.
        return [each for each in index.get(key, ()) if each in table and _key(table[each].get(field.name)) == key]

    def put(self, sobject: SObject, record: Record) -> None:
        """Enter a new or changed record."""
        for (name, field), index in self._indexes.items():
            if name == sobject.name:
                _enter(index, record, field)


def _enter(index: dict[Any, list[str]], record: Record, field: str) -> None:
    value = record.get(field)
    if value is None:
        return
    identifiers = index.setdefault(_key(value), [])
    if record["Id"] not in identifiers:
        identifiers.append(record["Id"])


def _key(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else str(value)


def _id(value: Any) -> str:
    try:
        return record_id(str(value))
    except ValueError:
        return ""

"""What a row of an answer looks like, and how a record becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orgserver.sandbox.query.field_paths import TYPE, Paths, attributes, value
from orgserver.sandbox.state.records import Record
from orgserver.sandbox.state.schema import Field, SObject

Row = Callable[[SObject, Record, str], Record]
"""From a record of an object and an API version to its row."""
Cell = Callable[[SObject, Record, str], Any]


@dataclass(slots=True)
class Shape:
    """Fields, and shapes behind relationships, in the order asked for."""

    parts: dict[str, Part] = field(default_factory=dict)
    polymorphic: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """A record behind a reference."""

    link: Field
    shape: Shape


@dataclass(frozen=True, slots=True)
class Converted:
    """A field whose value is not shown as it is."""

    field: Field
    convert: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Inner:
    """What a subquery or TYPEOF shows: the columns of its rows, and where they come from."""

    shape: Shape
    cell: Cell
    link: Field | None = None
    """The reference of TYPEOF."""


Part = Field | Joined | Converted | Inner


def row(paths: Paths, shape: Shape) -> Row:
    """A function from a record to its row."""
    names = [name for name, part in shape.parts.items() if isinstance(part, Field) and part is not TYPE]
    if len(names) == len(shape.parts) and not shape.polymorphic:
        return lambda sobject, record, version: {
            "attributes": attributes(sobject.name, record["Id"], version),
            **{name: record.get(name) for name in names},
        }
    cells = [(name, _cell(paths, part)) for name, part in shape.parts.items()]

    def make_row(sobject: SObject, record: Record, version: str) -> Record:
        row: Record = {"attributes": attributes(sobject.name, record["Id"], version)}
        if shape.polymorphic:
            row["attributes"]["type"] = "Name"
        for name, cell in cells:
            row[name] = cell(sobject, record, version)
        return row

    return make_row


def _cell(paths: Paths, part: Part) -> Cell:
    if isinstance(part, Field):
        return lambda sobject, record, _version: value(sobject, record, part)
    if isinstance(part, Converted):
        return lambda sobject, record, _version: part.convert(value(sobject, record, part.field))
    if isinstance(part, Inner):
        return part.cell
    behind = row(paths, part.shape)

    def join_cell(_sobject: SObject, record: Record, version: str) -> Record | None:
        here = paths.linked(record.get(part.link.name))
        return None if here is None else behind(*here, version)

    return join_cell
